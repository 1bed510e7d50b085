//! What this program is: the one value behind `--version`, `/version` and the metrics.

use std::fmt;

use serde::Serialize;

use crate::buffer::known_schema;

/// The version of the program, the commit that it was built from, and the schema of the buffers that it makes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Version {
    pub version: &'static str,
    /// `None` if `PASSBRIDGE_COMMIT` was not set at the build: a copy of the source may have no history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<&'static str>,
    pub schema: i64,
}

impl Version {
    pub fn current() -> Version {
        let commit = option_env!("PASSBRIDGE_COMMIT").filter(|commit| !commit.is_empty());
        Version { version: env!("CARGO_PKG_VERSION"), commit, schema: known_schema() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self.commit.map(|commit| format!("commit {commit}, ")).unwrap_or_default();
        write!(out, "{} ({commit}schema {})", self.version, self.schema)
    }
}
