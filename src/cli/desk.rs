//! The buffer for a person who decides about its events and suites: a file, or a database of PostgreSQL.

use std::cell::RefCell;
use std::path::Path;

use tokio::runtime::Runtime;

use super::{Context, Failure, Settings, on_file, runtime, shared};
use crate::buffer::{
    Buffer, BufferError, Group, InputRecord, PendingGroup, PendingSelection, Requeue, Requeued, Selection,
    Settled, TracedEvent, Undecided, UndecidedEvent,
};
use crate::delivery::Sequence;
use crate::event::PassEvent;
use crate::postgres::{PostgresError, SharedBuffer};

pub(super) enum Desk {
    File(Buffer),
    Shared(Runtime, Box<RefCell<SharedBuffer>>),
}

impl Desk {
    pub(super) fn open(context: &Context) -> Result<Desk, Failure> {
        Desk::of(&context.settings()?, context)
    }

    pub(super) fn of(settings: &Settings, context: &Context) -> Result<Desk, Failure> {
        if !on_file::is_on_postgres(settings) {
            return Ok(Desk::File(Buffer::open(&context.buffer_options(settings)?)?));
        }
        let (address, runtime) = (shared::address(settings)?, runtime()?);
        let buffer = runtime.block_on(SharedBuffer::open(&address))?;
        Ok(Desk::Shared(runtime, Box::new(RefCell::new(buffer))))
    }

    /// The file whose owner must own the folder of rejects too.
    pub(super) fn own_file<'a>(&'a self, settings: &'a Settings) -> &'a Path {
        if let Desk::File(buffer) = self { buffer.path() } else { &settings.file }
    }

    pub(super) fn ask<T>(
        &self,
        file: impl FnOnce(&Buffer) -> Result<T, BufferError>,
        shared: impl AsyncFnOnce(&mut SharedBuffer) -> Result<T, PostgresError>,
    ) -> Result<T, Failure> {
        match self {
            Desk::File(buffer) => Ok(file(buffer)?),
            Desk::Shared(runtime, buffer) => Ok(runtime.block_on(shared(&mut buffer.borrow_mut()))?),
        }
    }
}

/// Writes the functions of a [`Desk`] that do the same as those of the buffer that is open.
macro_rules! asked {
    ($($name:ident($($value:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Desk {
            $(pub(super) fn $name(&self, $($value: $kind),*) -> Result<$answer, Failure> {
                self.ask(|buffer| buffer.$name($($value),*), async |buffer| buffer.$name($($value),*).await)
            })*
        }
    };
}

asked! {
    undecided_groups(state: Undecided, which: &Selection) -> Vec<Group>;
    undecided(state: Undecided, which: &Selection, limit: usize) -> Vec<UndecidedEvent>;
    event(sequence: Sequence) -> Option<PassEvent>;
    inputs(number: Option<i64>, path: Option<&str>, limit: usize) -> Vec<InputRecord>;
    trace(sequence: Sequence) -> Option<TracedEvent>;
    pending_by_input(which: &PendingSelection) -> Vec<PendingGroup>;
    requeue(state: Undecided, which: &Selection, how: Requeue) -> Requeued;
    settle(state: Undecided, which: &Selection, becomes: Settled) -> u64;
}
