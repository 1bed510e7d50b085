//! The units of systemd: whether those installed are of this release, and whether drains, copies and alarms are on.

use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Finding;

/// Where units are looked for, below the root; the first one found counts (systemd.unit(5)).
const FOLDERS: [&str; 3] = ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// Where `systemctl enable` puts its links.
const WANTS: [&str; 3] = ["multi-user.target.wants", "timers.target.wants", "paths.target.wants"];
const ALARM: &str = "passbridge-alarm@.service";

macro_rules! shipped {
    ($($name:literal)+) => { [$(($name, include_str!(concat!("../../../deploy/", $name)))),+] };
}
/// The units of this release.
const SHIPPED: [(&str, &str); 16] = shipped!(
    "passbridge.service" "passbridge-serve.service" "passbridge-drain.service" "passbridge-drain.timer"
    "passbridge-monitor.service" "passbridge-monitor.timer" "passbridge-backup.service" "passbridge-backup.timer"
    "passbridge-spool.service" "passbridge-spool.path" "passbridge-spool.timer" "passbridge-backfill@.service"
    "passbridge-pull-esm.service" "passbridge-pull-esm.timer" "passbridge-reconcile@.service" "passbridge-reconcile@.timer"
);

/// Looks for units below this root. If none is installed, as in a container or where cron drains, nothing is wrong.
pub(super) fn findings(root: &Path) -> Vec<Finding> {
    let installed: Vec<_> =
        SHIPPED.iter().filter_map(|(name, text)| Some((*name, *text, place(root, name)?))).collect();
    let count =
        Finding::of("units", None).ok(format!("units of systemd that are installed: {}", installed.len()));
    if installed.is_empty() {
        return vec![count];
    }
    let of = |name: &str| Finding::of("units", Some(name.to_owned()));
    let differs = |(name, shipped, path): &(&str, &str, PathBuf)| match fs::read_to_string(path) {
        Ok(text) if lines(&text) == lines(shipped) => None,
        Ok(_) => {
            let advice = format!(
                "take that of this release; changes of your own go into /etc/systemd/system/{name}.d/own.conf"
            );
            Some(of(name).warning(format!("{} is not that of this release", path.display()), &advice))
        }
        Err(error) => {
            Some(of(name).bad(format!("cannot read {}: {error}", path.display()), "make it readable"))
        }
    };
    let is_on =
        |name: &str| WANTS.iter().any(|wants| root.join(FOLDERS[0]).join(wants).join(name).is_symlink());
    let mut findings: Vec<_> = [count].into_iter().chain(installed.iter().filter_map(differs)).collect();
    let (service, monitor) = ("passbridge.service", "passbridge-monitor.timer");
    if is_on(service) && is_on("passbridge-drain.timer") {
        let says = "it and passbridge-drain.timer are enabled, and only one can drain";
        findings.push(of(service).bad(says, "systemctl disable --now passbridge-drain.timer"));
    }
    for (name, is_on, without) in [
        (service, is_on(service) || is_on("passbridge-drain.timer"), "nothing drains"),
        (monitor, is_on(monitor), "nobody is told of a broken limit"),
        ("passbridge-backup.timer", is_on("passbridge-backup.timer"), "no copy of the buffer is made"),
    ] {
        let says = format!("it is not enabled: {without}, unless something else does it");
        findings.extend((!is_on).then(|| of(name).warning(says, &format!("systemctl enable --now {name}"))));
    }
    if is_on(monitor) && place(root, ALARM).is_none() {
        let says = "OnFailure= of passbridge-monitor.service names it, and it does not exist: nobody is told of a broken limit";
        findings.push(of(ALARM).warning(says, "make it: passbridge-monitor.service says how"));
    }
    findings
}

fn place(root: &Path, name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| root.join(folder).join(name)).find(|path| path.exists())
}

/// The lines of a unit that systemd reads, without the folder of the program.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .map(|line| {
            line.replace("/usr/local/bin/passbridge", "passbridge")
                .replace("/usr/bin/passbridge", "passbridge")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn units_of_another_release_and_alarms_that_reach_nobody_are_told() {
        let root = tempfile::TempDir::new().expect("a folder");
        let below = |path: &str| root.path().join(path);
        assert_eq!(findings(root.path()).len(), 1);
        let wants = ["multi-user", "timers"]
            .map(|target| below(&format!("etc/systemd/system/{target}.target.wants")));
        wants.iter().for_each(|folder| fs::create_dir_all(folder).expect("a folder"));
        fs::create_dir_all(below("usr/lib/systemd/system")).expect("a folder");
        for (name, text) in SHIPPED {
            let text = text.replace("=passbridge --", "=/usr/bin/passbridge --");
            fs::write(below(&format!("usr/lib/systemd/system/{name}")), text).expect("a unit");
        }
        let told = || {
            let found = findings(root.path()).into_iter().filter(|one| one.level != Level::Ok);
            found.map(|one| (one.of.unwrap_or_default(), one.level)).collect::<Vec<_>>()
        };
        let warning = |name: &str| (name.to_owned(), Level::Warning);
        let [service, monitor, backup] =
            ["passbridge.service", "passbridge-monitor.timer", "passbridge-backup.timer"];
        assert_eq!(told(), [warning(service), warning(monitor), warning(backup)]);
        symlink("x", wants[0].join(service)).expect("a link");
        [monitor, backup].iter().for_each(|name| symlink("x", wants[1].join(name)).expect("a link"));
        assert_eq!(told(), [warning(ALARM)]);
        fs::write(below(&format!("etc/systemd/system/{ALARM}")), "").expect("a unit");
        assert!(told().is_empty());
        // A unit in /etc wins over the package's. The service and the drain timer cannot both drain.
        fs::write(below(&format!("etc/systemd/system/{service}")), "[Service]\n").expect("a unit");
        symlink("x", wants[1].join("passbridge-drain.timer")).expect("a link");
        assert_eq!(told(), [warning(service), (service.to_owned(), Level::Failed)]);
    }
}
