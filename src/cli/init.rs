//! `init`: creates the configuration file and the buffer.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::settings::{self, SettingsError};
use super::{Context, Exit, Failure, hint, on_file, shared, undisturbed};
use crate::buffer::{Buffer, BufferError};
use crate::whole_file::{self, Readers};

const TEMPLATE: &str = include_str!("../../deploy/passbridge.full.toml");

/// Writes a commented configuration file and creates the buffer that it names.
///
/// The file is the one of --config or PASSBRIDGE_CONFIG, else ./passbridge.toml. Nothing is overwritten. If the file
/// exists, it is kept, and the buffer that it names is created. If only the buffer exists, the file is written. If
/// both exist, nothing is changed, and the status is 2, or 0 with --if-missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge --config /etc/passbridge/passbridge.toml init")]
pub(super) struct Args {
    /// Succeed without a change if the file and a usable buffer exist already, as at each later start of a container.
    #[arg(long)]
    if_missing: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let file = match settings::find(context.config.as_deref()) {
        Ok(file) => file,
        Err(SettingsError::NotFound) => PathBuf::from(settings::LOCAL_FILE),
        Err(error) => return Err(error.into()),
    };
    let (settings, has_file) = match settings::read(&file) {
        Err(SettingsError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            (settings::read_text(TEMPLATE, &file)?, false)
        }
        read => (read?, true),
    };
    if on_file::is_on_postgres(&settings) {
        return shared::init(&settings, args.if_missing, context);
    }
    let options = context.buffer_options(&settings)?;
    let buffer_created = !options.path.exists();
    if !buffer_created {
        // Something is at this path. Opening it fails if it is no buffer.
        drop(Buffer::open(&options)?);
        if has_file && !args.if_missing {
            return Err(BufferError::Exists(options.path).into());
        }
    }
    let config_written = write_template(&file)?;
    if buffer_created {
        Buffer::create(&options)?;
    }
    let (config, buffer) = (settings.file, options.path);
    let made = |is_made: bool, verb: &'static str| if is_made { verb } else { "kept as it was" };
    let text = format!(
        "configuration  {}  ({})\nbuffer         {}  ({})\n\nnext: {}",
        config.display(),
        made(config_written, "written"),
        buffer.display(),
        made(buffer_created, "created"),
        hint::complete("passbridge suite add --requestor ID --rsid RSID --collection-url URL")
    );
    let report = json!({
        "config": config,
        "config_written": config_written,
        "buffer": buffer,
        "buffer_created": buffer_created,
    });
    context.answer(&report, text)
}

fn write_template(file: &Path) -> Result<bool, Failure> {
    match undisturbed(|| whole_file::write_new(file, TEMPLATE.as_bytes(), Readers::Umask))? {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Failure::writing(file)(source)),
    }
}
