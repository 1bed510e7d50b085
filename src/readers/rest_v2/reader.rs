//! The reader of exchanges, from a log or from an archive.

use std::io::BufRead;

use super::ahead::Ahead;
use super::archive::Archive;
use super::exchange::{Parsed, Spent};
use super::window::{Step, Window};
use crate::event::TimeBounds;
use crate::readers::line::{Line, ReadError, ReadResult, Reader, SourceSummary};
use crate::readers::memory::Recollection;
use crate::readers::options::ReaderOptions;

/// Reads exchanges. The number of a line is its number in the log, or the number of the entry in the archive, from 1.
pub struct ExchangeReader<R> {
    source: Source<R>,
    window: Window,
    /// Why the source broke off. The error is returned after the exchanges before the break.
    broken: Option<ReadError>,
}

enum Source<R> {
    Log(Ahead),
    Archive(Box<Archive<R>>),
}

impl<R: BufRead> ExchangeReader<R> {
    pub fn of_log(source: R, options: &ReaderOptions) -> ExchangeReader<R>
    where
        R: Send + 'static,
    {
        let source = Source::Log(Ahead::start(source, options));
        ExchangeReader { source, window: Window::new(options, false), broken: None }
    }

    /// A reader at the first entry of an HTTP archive. It sorts the archive as a whole, because browsers sort entries
    /// by page instead of by start.
    pub fn of_archive(source: R, options: &ReaderOptions) -> Result<ExchangeReader<R>, ReadError> {
        let source = Source::Archive(Box::new(Archive::open(source, options)?));
        Ok(ExchangeReader { source, window: Window::new(options, true), broken: None })
    }
}

impl<R: BufRead> Source<R> {
    fn next(&mut self, spent: &mut Spent) -> Result<Option<Parsed>, ReadError> {
        match self {
            Source::Log(log) => log.next(spent),
            Source::Archive(archive) => {
                spent.clear();
                archive.next()
            }
        }
    }
}

impl<R: BufRead> Reader for ExchangeReader<R> {
    fn next_line(&mut self, bounds: TimeBounds, memory: &mut Recollection) -> ReadResult<Option<Line<'_>>> {
        loop {
            match self.window.step(bounds, memory)? {
                Step::Line(line) => return Ok(Some(line)),
                Step::Paused => return Ok(None),
                Step::Ended => return self.broken.take().map_or(Ok(None), Err),
                Step::Wanting => match self.source.next(&mut self.window.spent) {
                    Ok(Some(Parsed { number, result })) => match result {
                        Ok(exchange) => self.window.hold(number, exchange),
                        Err((excerpt, reason)) => return Ok(Some(Line::of(number, excerpt, Err(reason)))),
                    },
                    Ok(None) => self.window.end(),
                    Err(error) => {
                        self.broken = Some(error);
                        self.window.end();
                    }
                },
            }
        }
    }

    fn is_inside_line(&self) -> bool {
        self.window.is_inside_line()
    }

    fn summary(&self) -> SourceSummary {
        SourceSummary { exchanges: Some(self.window.summary.clone()), ..SourceSummary::default() }
    }
}
