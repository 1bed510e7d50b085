//! The buffer for a person who decides about its events and suites: a file, or a database of PostgreSQL.

use std::cell::RefCell;
use std::path::Path;

use tokio::runtime::Runtime;

use super::{Context, Failure, Settings, on_file, runtime, shared};
use crate::buffer::{
    Buffer, BufferError, Group, InputRecord, PendingGroup, PendingSelection, Requeue, Requeued, Selection,
    TracedEvent, Undecided, UndecidedEvent,
};
use crate::delivery::Sequence;
use crate::event::PassEvent;
use crate::postgres::{PostgresError, SharedBuffer, Verdict};

/// A function with the name of a function of [`Buffer`] does the same as that one.
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

    pub(super) fn undecided_groups(
        &self,
        state: Undecided,
        which: &Selection,
    ) -> Result<Vec<Group>, Failure> {
        let file = |buffer: &Buffer| buffer.undecided_groups(state, which);
        self.ask(file, async |buffer| buffer.undecided_groups(state, which).await)
    }

    pub(super) fn undecided(
        &self,
        state: Undecided,
        which: Selection,
        limit: usize,
    ) -> Result<Vec<UndecidedEvent>, Failure> {
        let file = |buffer: &Buffer| buffer.undecided(state, which.clone(), limit);
        self.ask(file, async |buffer| buffer.undecided(state, &which, limit).await)
    }

    pub(super) fn event(&self, sequence: Sequence) -> Result<Option<PassEvent>, Failure> {
        self.ask(|buffer| buffer.event(sequence), async |buffer| buffer.event(sequence).await)
    }

    pub(super) fn inputs(
        &self,
        number: Option<i64>,
        path: Option<&str>,
        limit: usize,
    ) -> Result<Vec<InputRecord>, Failure> {
        let file = |buffer: &Buffer| buffer.inputs(number, path, limit);
        self.ask(file, async |buffer| buffer.inputs(number, path, limit).await)
    }

    pub(super) fn trace(&self, sequence: Sequence) -> Result<Option<TracedEvent>, Failure> {
        self.ask(|buffer| buffer.trace(sequence), async |buffer| buffer.trace(sequence).await)
    }

    pub(super) fn pending_by_input(&self, which: &PendingSelection) -> Result<Vec<PendingGroup>, Failure> {
        let file = |buffer: &Buffer| buffer.pending_by_input(which);
        self.ask(file, async |buffer| buffer.pending_by_input(which).await)
    }

    pub(super) fn requeue(
        &self,
        state: Undecided,
        which: Selection,
        how: Requeue,
    ) -> Result<Requeued, Failure> {
        let file = |buffer: &Buffer| buffer.requeue(state, which.clone(), how);
        self.ask(file, async |buffer| buffer.requeue(state, &which, how).await)
    }

    pub(super) fn discard(&self, state: Undecided, which: Selection) -> Result<u64, Failure> {
        let file = |buffer: &Buffer| buffer.discard(state, which.clone());
        self.ask(file, async |buffer| buffer.settle(state, &which, Verdict::Discarded).await)
    }

    pub(super) fn vouch(&self, which: Selection) -> Result<u64, Failure> {
        let file = |buffer: &Buffer| buffer.vouch(which.clone());
        self.ask(file, async |buffer| buffer.settle(Undecided::Held, &which, Verdict::Delivered).await)
    }
}
