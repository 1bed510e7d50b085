//! `suite confirm`.

use crate::buffer::Buffer;
use crate::cli::{Failure, Settings, refused};
use crate::confirmation::{Confirmation, Item};
use crate::onboarding::verdict;
use crate::suite::Rsid;

/// The longest name or note, in characters.
const TEXT_CHARS_MAX: usize = 500;

const ITEMS: &str = include_str!("../help/checklist.txt").trim_ascii_end();

/// Records that a person has confirmed settings in Admin that no API shows.
///
/// `suite check` then accepts the confirmation, and `suite show` shows it. A confirmation depends on other settings
/// (identity, event IDs, requestors; for the item `suite`, the collection host). If one of these changes, the
/// confirmation is void, and `suite check` asks again.
#[derive(Debug, clap::Args)]
#[command(after_help = ITEMS)]
pub(crate) struct ConfirmArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// The confirmed items: see below.
    #[arg(value_name = "ITEM", required = true)]
    items: Vec<Item>,
    /// The name of the person who confirms.
    #[arg(long, value_name = "NAME", required_unless_present = "withdraw", value_parser = text)]
    by: Option<String>,
    /// A note, such as a ticket or a reason.
    #[arg(long, value_name = "TEXT", value_parser = text, conflicts_with = "withdraw")]
    note: Option<String>,
    /// Withdraw the confirmation.
    #[arg(long, conflicts_with = "by")]
    withdraw: bool,
}

fn text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(format!("it must be 1 to {TEXT_CHARS_MAX} characters on one line"));
    }
    Ok(text.to_owned())
}

/// Returns the suite that the confirmations are for.
pub(super) fn run<'a>(
    args: &'a ConfirmArgs,
    settings: &Settings,
    buffer: &Buffer,
) -> Result<&'a Rsid, Failure> {
    let known = buffer.suite(&args.rsid)?;
    match &args.by {
        Some(by) => {
            let word = |item: &Item| Confirmation {
                item: *item,
                by: by.clone(),
                at: buffer.now(),
                note: args.note.clone(),
                basis: item.basis(&known.suite, &known.requestors),
            };
            buffer.confirm(&args.rsid, args.items.iter().map(word).collect())?;
        }
        None => {
            let withdrawn = buffer.withdraw(&args.rsid, args.items.clone())?;
            if withdrawn.is_empty() {
                let names: Vec<&str> = args.items.iter().map(|item| item.as_str()).collect();
                return Err(refused(
                    format!("nobody has confirmed {} of report suite {}", names.join(" or "), args.rsid),
                    format!("see what is: passbridge suite show {}", args.rsid),
                ));
            }
        }
    }
    verdict::renew(buffer, &args.rsid, settings.config.analytics.proof_age())?;
    Ok(&args.rsid)
}
