//! The buffer whose suites a command is about, and how long a proof of their settings counts.

use std::time::Duration;

use crate::buffer::Buffer;
use crate::cli::{Context, Failure, Settings};
use crate::onboarding::verdict;
use crate::suite::Rsid;

pub(super) struct Suites {
    pub(super) buffer: Buffer,
    pub(super) proof_age: Duration,
}

impl Suites {
    pub(super) fn open(context: &Context, settings: &Settings) -> Result<Suites, Failure> {
        let buffer = Buffer::open(&context.buffer_options(settings))?;
        Ok(Suites { buffer, proof_age: settings.config.analytics.proof_age() })
    }

    /// Judges a suite anew that was changed here.
    pub(super) fn renew(&self, rsid: &Rsid) -> Result<(), Failure> {
        Ok(verdict::renew(&self.buffer, rsid, self.proof_age)?)
    }
}
