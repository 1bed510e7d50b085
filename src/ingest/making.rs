//! Gives checked events their identity and stored form, in a thread of its own while the reader reads on.
//!
//! Reading a line takes the longest of all steps of an ingest, so nothing else happens in its thread that can be done elsewhere.

use std::mem::take;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use crate::buffer::NewEvent;
use crate::event::{EventId, PassEvent};
use crate::mapping::measure;

/// How many events go to the other thread together. A small body, such as a post of a few events, needs no thread.
const CHUNK_EVENTS: usize = 256;
/// How many chunks may wait, so that neither thread soon waits for the other.
const CHUNKS_WAITING_MAX: usize = 4;

/// A checked event of a line.
pub(super) struct Checked {
    pub(super) line: u64,
    pub(super) event: PassEvent,
    pub(super) former_ids: Vec<EventId>,
}

impl Checked {
    pub(super) fn make(self) -> NewEvent {
        let Checked { line, event, former_ids } = self;
        NewEvent { former_ids, ..NewEvent::new(line, &event, measure(&event)) }
    }
}

/// Makes the events of one portion, in their order.
pub(super) struct Making<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    chunk: Vec<Checked>,
    thread: Option<(SyncSender<Vec<Checked>>, Thread<'scope>)>,
}

type Thread<'scope> = ScopedJoinHandle<'scope, Vec<NewEvent>>;

impl<'scope, 'env> Making<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Making<'scope, 'env> {
        Making { scope, chunk: Vec::new(), thread: None }
    }

    pub(super) fn add(&mut self, event: Checked) {
        self.chunk.push(event);
        if self.chunk.len() == CHUNK_EVENTS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let (sender, _) = self.thread.get_or_insert_with(|| {
            let (sender, receiver) = sync_channel::<Vec<Checked>>(CHUNKS_WAITING_MAX);
            let make_all = move || receiver.into_iter().flatten().map(Checked::make).collect();
            (sender, self.scope.spawn(make_all))
        });
        if sender.send(take(&mut self.chunk)).is_err() {
            // The thread ends before its sender only by a panic.
            self.join();
        }
    }

    /// Returns the events once all are made.
    pub(super) fn end(mut self) -> Vec<NewEvent> {
        if self.thread.is_none() {
            return self.chunk.into_iter().map(Checked::make).collect();
        }
        self.hand_over();
        self.join()
    }

    fn join(&mut self) -> Vec<NewEvent> {
        let Some((sender, thread)) = self.thread.take() else { return Vec::new() };
        drop(sender);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}
