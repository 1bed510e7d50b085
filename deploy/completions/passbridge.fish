# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_passbridge_global_optspecs
    string join \n config= json h/help V/version
end

function __fish_passbridge_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_passbridge_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_passbridge_using_subcommand
    set -l cmd (__fish_passbridge_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c passbridge -n "__fish_passbridge_needs_command" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_needs_command" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_needs_command" -s V -l version -d 'Print version'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "demo" -d 'Shows everything in one run: a local stand-in for Adobe, example events, a drain, and what Analytics would count'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "init" -d 'Writes a commented configuration file and creates the buffer that it names'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "suite" -d 'Says which requestor\'s events go to which report suite, and how'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "ingest" -d 'Stores events from files or standard input, each exactly once'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "pull" -d 'Fetches what Adobe Pass counted'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "drain" -d 'Sends what is pending, once, and exits: for cron and systemd timers'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "run" -d 'Stays up and drains on the schedule of the configuration, every 30 minutes by default'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "serve" -d 'Listens for HTTP as `run` does (events, the status page, metrics), for hosts where a timer or cron starts the drains'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "backfill" -d 'Loads old events and sends them beside live events, which always go first'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "report" -d 'Shows the server-side metrics of a period, as Adobe Pass defines them: per MVPD and in total'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "reconcile" -d 'Compares what ESM counted, what the buffer holds and what Analytics reports, and says why they differ'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "explain" -d 'Shows the hit that an event becomes, tag by tag, and why'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "trace" -d 'Shows what became of one event: its source, its state, every attempt, and the hit, tag by tag'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "export" -d 'Writes events or outcomes for a warehouse, from where the last export ended, or all that is stored about a person'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "status" -d 'Shows where every event is: what waits and since when, what stands in the way, accounting, last runs'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "doctor" -d 'Examines the host: configuration, secrets, buffer, disk, clock, locks, suites, units of systemd, and the connections to the hosts of Adobe'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "config" -d 'Checks the configuration, or shows every key with its value and the source of that value. No other file is read'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "pending" -d 'Lists the pending events by the input that they came with, or takes them back before they are sent'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "inputs" -d 'Lists the inputs, or shows one: how many events were stored, duplicates or rejected, for which reasons, and its digest'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "rejects" -d 'Lists the files of rejected lines, or shows one of them'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "dead-letter" -d 'Lists, requeues or discards the events that Adobe rejected'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "held" -d 'Lists, requeues or settles the events that may have been counted and therefore are not sent again'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "forget" -d 'Erases a person\'s events from the buffer, its inbox and the rejected lines, for privacy requests'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "backup" -d 'Copies the live buffer to a new file'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "restore" -d 'Puts a copy, made with `backup` or by an upgrade, in the place of the buffer'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "retention" -d 'Deletes delivered and discarded events whose retention has passed, now instead of at the end of a drain'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "schema" -d 'Prints a schema that this program knows. Without a name, it lists the schemas'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "sandbox" -d 'Runs a local stand-in for Adobe\'s endpoints, for rehearsal and tests, until it is stopped'
complete -c passbridge -n "__fish_passbridge_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand demo" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand demo" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand init" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand init" -l if-missing -d 'Succeed without a change if the file and a usable buffer exist already, as at each later start of a container'
complete -c passbridge -n "__fish_passbridge_using_subcommand init" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "add" -d 'Maps requestors to a suite. Their events are then sent to it; with --paused, only after `suite resume`'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "list" -d 'Lists the suites with their requestors'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "show" -d 'Shows one suite with all its settings'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "set" -d 'Changes settings of a suite. Settings that are not given stay as they are'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "pause" -d 'Stops sending a suite\'s events, within a second also in a running drain. The events wait in the buffer'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "resume" -d 'Sends events again to a suite that was paused, or whose hits are known to be lost'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "remove" -d 'Retires a suite, or takes single requestors from it. Their events are parked until the requestors are mapped again'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "sheet" -d 'Writes a checklist of all that must be set in a report suite: 18 events, 34 eVars, and the settings around them'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "check" -d 'Compares a report suite with what the integration needs, field by field'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "confirm" -d 'Records that a person has confirmed settings in Admin that no API shows'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "probe" -d 'Sends marked canary hits into a suite, and reads them back through the Reports API'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "export" -d 'Writes every suite as JSON, for `suite import` into another buffer. The file has no secrets'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "import" -d 'Adds the suites of an export. Suites that are known already must have the same settings'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and not __fish_seen_subcommand_from add list show set pause resume remove sheet check confirm probe export import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l requestor -d 'The requestor IDs whose events are sent to the suite' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l rsid -d 'The report suite ID, 1 to 40 letters, digits or periods' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l collection-url -d 'The collection host, such as `https://example.sc.omtrdc.net`. Plain http is only for a collector on this host. Required for a new suite' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l identity -d 'The value that identifies the visitor. Analytics never joins visitors of two kinds. Default mvpd_user_id' -r -f -a "mvpd_user_id\t'The MVPD User ID as visitorID, as the integration prescribes'
ecid\t'The Experience Cloud ID in visitor_id'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l org-id -d 'The Experience Cloud organisation that an ECID belongs to, such as 1234567890ABCDEF12345678@AdobeOrg, or `none`' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l event-ids -d 'Whether each hit carries an ID by which Analytics counts it once, however often it is sent. The suite\'s events must be set to "Use Event ID" in Admin. Default on' -r -f -a "on\t''
off\t''"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l count-with-id -d 'Send a count above one as eventN=count:id instead of as single hits. Adobe\'s pages only imply that form: verify it in the suite first. Default off' -r -f -a "on\t''
off\t''"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l on-ambiguous -d 'What to do with an event that may have been counted. Default retry' -r -f -a "retry\t'Send it again'
hold\t'Hold it: passbridge held list'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l rate -d 'Hits per second, over all lanes; 0 is no limit. Default 0' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l stage -d 'What the suite is for. Only for a development suite, `suite probe` needs no --production. Default production' -r -f -a "development\t'It is for tests'
production\t'People read its reports'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l via -d 'How live events are sent: as single hits; in bulk files, which Analytics processes within 20 minutes to 2 hours; or, with `auto`, in files while more than bulk.auto_above_events wait. Default dia' -r -f -a "dia\t''
bulk\t''
auto\t''"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l paused -d 'Send nothing until `suite resume`, so that the suite can be checked and probed first'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from list" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from show" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l collection-url -d 'The collection host' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l identity -d 'The value that identifies the visitor. Analytics never joins visitors of two kinds. Default mvpd_user_id' -r -f -a "mvpd_user_id\t'The MVPD User ID as visitorID, as the integration prescribes'
ecid\t'The Experience Cloud ID in visitor_id'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l org-id -d 'The Experience Cloud organisation that an ECID belongs to, such as 1234567890ABCDEF12345678@AdobeOrg, or `none`' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l event-ids -d 'Whether each hit carries an ID by which Analytics counts it once, however often it is sent. The suite\'s events must be set to "Use Event ID" in Admin. Default on' -r -f -a "on\t''
off\t''"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l count-with-id -d 'Send a count above one as eventN=count:id instead of as single hits. Adobe\'s pages only imply that form: verify it in the suite first. Default off' -r -f -a "on\t''
off\t''"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l on-ambiguous -d 'What to do with an event that may have been counted. Default retry' -r -f -a "retry\t'Send it again'
hold\t'Hold it: passbridge held list'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l rate -d 'Hits per second, over all lanes; 0 is no limit. Default 0' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l stage -d 'What the suite is for. Only for a development suite, `suite probe` needs no --production. Default production' -r -f -a "development\t'It is for tests'
production\t'People read its reports'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l via -d 'How live events are sent: as single hits; in bulk files, which Analytics processes within 20 minutes to 2 hours; or, with `auto`, in files while more than bulk.auto_above_events wait. Default dia' -r -f -a "dia\t''
bulk\t''
auto\t''"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l split-visitors -d 'Accept that every known visitor of the suite becomes a new one if the identity changes'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from pause" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from pause" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from pause" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from resume" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from resume" -l anyway -d 'Send to the suite although it is known to lose its hits. This applies until another reason for the loss is found'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from resume" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from remove" -l requestor -d 'Take only these requestors from the suite, and keep it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from sheet" -l format -d 'The format [default: by the ending of FILE, such as .xlsx; md on standard output]' -r -f -a "md\t'Markdown, for a ticket or a wiki'
csv\t'One table, for programs'
xlsx\t'A workbook to hand over, with a tab for each topic'
html\t'A page that prints well'"
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from sheet" -l out -d 'The file to write, which must not exist. Without it, or with `-`, the sheet goes to standard output' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from sheet" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from sheet" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from sheet" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from check" -l settings -d 'The file of Admin > Report Suites > Download' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from check" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from check" -l all -d 'Check every suite, one after the other, through the API'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from check" -l strict -d 'Also exit with 3 if an item is not shown, proved or confirmed, or if nobody has confirmed its warning'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from confirm" -l by -d 'The name of the person who confirms' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from confirm" -l note -d 'A note, such as a ticket or a reason' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from confirm" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from confirm" -l withdraw -d 'Withdraw the confirmation'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from confirm" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -l deadline -d 'How long to wait for the hits. Adobe calls a report complete after 2 h' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -l every -d 'How long to wait between two readings. Adobe asks not to poll faster than every 30 minutes' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -l read-back -d 'Send nothing, and read this earlier probe back' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -l production -d 'Send into a suite whose stage is not development: its reports count the canary hits for ever'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from probe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from export" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from export" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from import" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from import" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "add" -d 'Maps requestors to a suite. Their events are then sent to it; with --paused, only after `suite resume`'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists the suites with their requestors'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows one suite with all its settings'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "set" -d 'Changes settings of a suite. Settings that are not given stay as they are'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "pause" -d 'Stops sending a suite\'s events, within a second also in a running drain. The events wait in the buffer'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Sends events again to a suite that was paused, or whose hits are known to be lost'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Retires a suite, or takes single requestors from it. Their events are parked until the requestors are mapped again'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "sheet" -d 'Writes a checklist of all that must be set in a report suite: 18 events, 34 eVars, and the settings around them'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "check" -d 'Compares a report suite with what the integration needs, field by field'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "confirm" -d 'Records that a person has confirmed settings in Admin that no API shows'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "probe" -d 'Sends marked canary hits into a suite, and reads them back through the Reports API'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "export" -d 'Writes every suite as JSON, for `suite import` into another buffer. The file has no secrets'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "import" -d 'Adds the suites of an export. Suites that are known already must have the same settings'
complete -c passbridge -n "__fish_passbridge_using_subcommand suite; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l format -d 'The format of the inputs' -r -f -a "auto\t'By the name of each input, then by its content'
ndjson\t'One canonical event as a JSON object per line'
csv\t'A header row of property names, then one event per row'
rest-v2\t'Exchanges with the Pass REST API V2, one per line; events follow from them'
har\t'The same exchanges as an HTTP archive (HAR 1.2), as browsers and proxies save them'
esm\t'A report of Entitlement Service Monitoring by hour or minute, as JSON, XML or CSV: events with a count'"
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l map -d 'The map of the keys and values of NDJSON and CSV: a section [map.NAME] of the configuration, or a file with such keys' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l event-id-from -d 'Make the ID of an event that has none from these keys. Events that are equal in all of them are one event; if they differ in another key, they conflict' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l from -d 'Take only events that happened at or after this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l to -d 'Take only events that happened before this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l requestor -d 'Take only events of this requestor; may be given several times' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l accept-days -d 'Accept that many events are added to these days (UTC), which were delivered already: 2026-11-20 or 2026-11-20..2026-11-22, several with commas' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l accept-missing -d 'Accept that all events of a file lack these keys, which nearly all events before it had' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l source -d 'The name of standard input in reports, rejects and the buffer' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l max-rejects -d 'The most lines to reject, such as 100 or 0.5%. If more are rejected, the status is 1, and neither the current portion of 10,000 lines nor anything after it is stored. A percentage applies from 1,000 lines on, and at the end of each input' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l spool -d 'Take the files of this folder. Each is then moved to the subfolder done, or to rejected if not all of it was used. Names that begin with a dot or end with .part are passed over. A file that changes while it is read stays' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l dry-run -d 'Read and check everything, but store nothing. Each event is printed in its canonical form as NDJSON, and the counts go to standard error. With --json only the counts are printed, to standard output'
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l why -d 'With --dry-run, say for each event which line it comes from and, if that is an exchange, which rule of the derivation made it'
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l summary -d 'Show by endpoint and rule how many exchanges were counted, how many were passed over, and why'
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand ingest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and not __fish_seen_subcommand_from esm help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and not __fish_seen_subcommand_from esm help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and not __fish_seen_subcommand_from esm help" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and not __fish_seen_subcommand_from esm help" -f -a "esm" -d 'Fetches reports of Entitlement Service Monitoring by hour, and stores their counts as events'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and not __fish_seen_subcommand_from esm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -l from -d 'The first hour, such as 2026-11-10 or 2026-11-10T08. The default is 48 hours before --to or the first hour that was never fetched, whichever is earlier' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -l to -d 'The hour after the last one. The default is the hour that has just begun' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -l requestor -d 'Only the counts of these requestors' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -l dry-run -d 'Fetch the reports and say what would be stored, but store nothing'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from esm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from help" -f -a "esm" -d 'Fetches reports of Entitlement Service Monitoring by hour, and stores their counts as events'
complete -c passbridge -n "__fish_passbridge_using_subcommand pull; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l limit -d 'Send at most this many events. Events that Adobe refuses are not counted' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l deadline -d 'Begin to send no more events after this long' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l dry-run -d 'Count what would be sent, and send nothing'
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l accept-repeat -d 'Drain a buffer that was restored from a backup, although some of its suites have no event IDs. What the original delivered to them after the copy was made is then counted twice'
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l accept-unnamed -d 'Count rows of bulk files as delivered if Adobe refused them without naming them. Without this option, such rows stop the suite'
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand run" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand run" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand serve" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand serve" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "plan" -d 'Reads all inputs once, stores no event, and says what the backfill would do'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "run" -d 'Loads the inputs of a backfill and sends their events until all are sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "status" -d 'Shows one backfill, or all of them'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "pause" -d 'Stops a running backfill until it is resumed'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "resume" -d 'Continues a backfill that was planned, stopped, paused or cancelled, or a finished one with events that can be sent now. The options that are given replace the earlier ones'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "cancel" -d 'Discards the events that a backfill has not sent yet; `resume` restores them'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "export" -d 'Writes the events that a backfill has not sent yet into files of the bulk route, and sends nothing'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and not __fish_seen_subcommand_from plan run status pause resume cancel export help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l format -d 'The format of the inputs' -r -f -a "auto\t'By the name of each input, then by its content'
ndjson\t'One canonical event as a JSON object per line'
csv\t'A header row of property names, then one event per row'
rest-v2\t'Exchanges with the Pass REST API V2, one per line; events follow from them'
har\t'The same exchanges as an HTTP archive (HAR 1.2), as browsers and proxies save them'
esm\t'A report of Entitlement Service Monitoring by hour or minute, as JSON, XML or CSV: events with a count'"
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l map -d 'The map of the keys and values of NDJSON and CSV: a section [map.NAME] of the configuration, or a file with such keys' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l event-id-from -d 'Make the ID of an event that has none from these keys. Events that are equal in all of them are one event; if they differ in another key, they conflict' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l from -d 'Take only events that happened at or after this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l to -d 'Take only events that happened before this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l requestor -d 'Take only events of this requestor; may be given several times' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l via -d 'The route: single hits or bulk files' -r -f -a "dia\t'The Data Insertion API, one hit for each request'
bulk\t'The Bulk Data Insertion API, many rows in a file'"
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l rate -d 'Hits per second for each collection host; with --via bulk, rows per second' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l window -d 'The hours of the day in which to send, such as 22:00-06:00, in the time zone schedule.timezone; `always` is no limit' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l markdown -d 'Print the plan as Markdown for the person who approves it: server calls, peak, finishing date, risk and route, and the digests of the inputs'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l format -d 'The format of the inputs' -r -f -a "auto\t'By the name of each input, then by its content'
ndjson\t'One canonical event as a JSON object per line'
csv\t'A header row of property names, then one event per row'
rest-v2\t'Exchanges with the Pass REST API V2, one per line; events follow from them'
har\t'The same exchanges as an HTTP archive (HAR 1.2), as browsers and proxies save them'
esm\t'A report of Entitlement Service Monitoring by hour or minute, as JSON, XML or CSV: events with a count'"
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l map -d 'The map of the keys and values of NDJSON and CSV: a section [map.NAME] of the configuration, or a file with such keys' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l event-id-from -d 'Make the ID of an event that has none from these keys. Events that are equal in all of them are one event; if they differ in another key, they conflict' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l from -d 'Take only events that happened at or after this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l to -d 'Take only events that happened before this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l requestor -d 'Take only events of this requestor; may be given several times' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l via -d 'The route: single hits or bulk files' -r -f -a "dia\t'The Data Insertion API, one hit for each request'
bulk\t'The Bulk Data Insertion API, many rows in a file'"
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l rate -d 'Hits per second for each collection host; with --via bulk, rows per second' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l window -d 'The hours of the day in which to send, such as 22:00-06:00, in the time zone schedule.timezone; `always` is no limit' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l accept-days -d 'Accept that many events are added to these days (UTC), which were delivered already: 2026-11-20 or 2026-11-20..2026-11-22, several with commas' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l accept-missing -d 'Accept that all events of a file lack these keys, which nearly all events before it had' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l keep-files -d 'Keep the files of the bulk route after their answers are recorded'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from status" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from status" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from pause" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from pause" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l via -d 'The route: single hits or bulk files' -r -f -a "dia\t'The Data Insertion API, one hit for each request'
bulk\t'The Bulk Data Insertion API, many rows in a file'"
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l rate -d 'Hits per second for each collection host; with --via bulk, rows per second' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l window -d 'The hours of the day in which to send, such as 22:00-06:00, in the time zone schedule.timezone; `always` is no limit' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l keep-files -d 'Keep the files of the bulk route after their answers are recorded'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l accept-unnamed -d 'Count rows of bulk files as delivered if Adobe refused them without naming them in its log'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from cancel" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from cancel" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from export" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from export" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "plan" -d 'Reads all inputs once, stores no event, and says what the backfill would do'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "run" -d 'Loads the inputs of a backfill and sends their events until all are sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "status" -d 'Shows one backfill, or all of them'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "pause" -d 'Stops a running backfill until it is resumed'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Continues a backfill that was planned, stopped, paused or cancelled, or a finished one with events that can be sent now. The options that are given replace the earlier ones'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "cancel" -d 'Discards the events that a backfill has not sent yet; `resume` restores them'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "export" -d 'Writes the events that a backfill has not sent yet into files of the bulk route, and sends nothing'
complete -c passbridge -n "__fish_passbridge_using_subcommand backfill; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l period -d 'A year, month or day (2026, 2026-03, 2026-03-01), today, yesterday, this-month or last-month (the default)' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l from -d 'The first day as a date, or the first instant in RFC 3339, on a quarter hour' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l to -d 'The last day as a date, which is included, or the instant at which the period ends. Default today' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l timezone -d 'The time zone of days and hours, by its IANA name. Default esm.timezone' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l requestor -d 'Only this requestor; may be given several times' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l by -d 'A property to group rows by; may be given several times' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l html -d 'Also write the report into this file, as one page with charts that needs no network. An earlier file is replaced' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l without-discarded -d 'Leave out events that a person discarded by dead-letter, held or a cancelled backfill. Their users are still counted'
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l csv -d 'Print CSV'
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l suite -d 'The report suite' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l from -d 'The first day' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l to -d 'The last day' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l esm -d 'Reports of ESM by minute, hour or day that group by requestor-id and mvpd, as JSON, XML or CSV; `live` fetches them by hour, as `pull esm` does' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l tolerance -d 'How far two numbers of a cell may differ: in units, such as 5, or as a share of the larger number, such as 0.5%' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l timezone -d 'The time zone of the days, by its IANA name. The default is that of ESM\'s reports, esm.timezone' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l no-analytics -d 'Leave Analytics out: compare ESM and the buffer'
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand reconcile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand explain" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand explain" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l sequence -d 'The number of the event in the buffer, as lists of events show it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l serial -d 'The serial by which Analytics counts a hit once' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l user -d 'The events of this mvpd_user_id or visitor_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l line -d 'A line of an input: its path as it was ingested, or the end of that path, and the number of the line. `-` is standard input' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l limit -d 'The most events to show; the first ones are shown' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand trace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -f -a "events" -d 'Writes each event that the buffer has, in the order of storing'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -f -a "outcomes" -d 'Writes each outcome (delivered, dead, held or discarded), with the serial that Analytics knows'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -f -a "person" -d 'Writes all that is stored about a person: events with their attempts, inbox rows, rejected lines, and the memory of sources'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and not __fish_seen_subcommand_from events outcomes person help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from events" -l since -d 'The cursor that the previous export printed. Without it, the export begins with the oldest row' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from events" -l format -d 'The form of the rows' -r -f -a "ndjson\t'A JSON object for each row'
csv\t'A header, then a line for each row; values are unchanged, for a warehouse and not for a spreadsheet'"
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from events" -l output -d 'Write the rows to this file, and the cursor to standard output. An earlier file is replaced once the new one is complete' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from events" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from events" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from outcomes" -l since -d 'The cursor that the previous export printed. Without it, the export begins with the oldest row' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from outcomes" -l format -d 'The form of the rows' -r -f -a "ndjson\t'A JSON object for each row'
csv\t'A header, then a line for each row; values are unchanged, for a warehouse and not for a spreadsheet'"
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from outcomes" -l output -d 'Write the rows to this file, and the cursor to standard output. An earlier file is replaced once the new one is complete' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from outcomes" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from outcomes" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from outcomes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l mvpd -d 'The MVPD that gave the person this user ID. Another MVPD may have given the same ID to another person' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l mvpd-user-id -d 'The MVPD\'s ID of the person, as in mvpd_user_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l visitor-id -d 'The programmer\'s ID of the person, as in visitor_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l device-id -d 'A device, as in device_id. This includes everybody who used it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l session-id -d 'A session, as in session_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l ip-address -d 'An address, as in ip_address, in any form. A household or more people may share it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l output -d 'The file to write, which only its owner may read. An earlier file is replaced once the new one is complete' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from person" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from help" -f -a "events" -d 'Writes each event that the buffer has, in the order of storing'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from help" -f -a "outcomes" -d 'Writes each outcome (delivered, dead, held or discarded), with the serial that Analytics knows'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from help" -f -a "person" -d 'Writes all that is stored about a person: events with their attempts, inbox rows, rejected lines, and the memory of sources'
complete -c passbridge -n "__fish_passbridge_using_subcommand export; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-age -d 'The longest time that an event that can be sent may wait, and the longest time since the last completed drain. Without --check the status is shown too, and no other limit is checked' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-trouble -d 'The longest time that trouble with a host or a suite may keep events waiting' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-silence -d 'The longest time since the last live event came in; ID=DURATION is for one requestor' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-dead -d 'How many events may have become dead within 24 hours' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-held -d 'How many events may be held' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-parked -d 'How many events may be parked' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l max-rejects -d 'How many lines may have been rejected within 24 hours' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l check -d 'Check the limits of [monitor], or of the options below, instead of showing anything'
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l prometheus -d 'Print the metrics of /metrics, for a textfile collector'
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l verify -d 'Recount every row, and compare the result with the counters. This reads the whole buffer'
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l in-doubt -d 'List every event that has an attempt of unknown outcome, whatever its state is now'
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand doctor" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand doctor" -l full -d 'Recount every row of the buffer, and check its whole file. This reads all of it'
complete -c passbridge -n "__fish_passbridge_using_subcommand doctor" -l before-start -d 'Check only what would keep `run` from starting. This takes less than two seconds, and reads neither the network nor the events; only a server of PostgreSQL is asked for its settings and the schema. Exits 2 if `run` would end with 2'
complete -c passbridge -n "__fish_passbridge_using_subcommand doctor" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and not __fish_seen_subcommand_from check show help" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and not __fish_seen_subcommand_from check show help" -f -a "check" -d 'Checks the file and the variables by all rules, and names each mistake with its line or variable'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and not __fish_seen_subcommand_from check show help" -f -a "show" -d 'Shows every key with its value, and its source: the default, a line of the file, or a variable. Secrets are hidden'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and not __fish_seen_subcommand_from check show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from show" -l given -d 'Only the keys that the file or a variable gives'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Checks the file and the variables by all rules, and names each mistake with its line or variable'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows every key with its value, and its source: the default, a line of the file, or a variable. Secrets are hidden'
complete -c passbridge -n "__fish_passbridge_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and not __fish_seen_subcommand_from list take-back help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and not __fish_seen_subcommand_from list take-back help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and not __fish_seen_subcommand_from list take-back help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and not __fish_seen_subcommand_from list take-back help" -f -a "list" -d 'Lists the pending events by input and requestor'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and not __fish_seen_subcommand_from list take-back help" -f -a "take-back" -d 'Takes pending events back. Without --yes it only says which events these would be'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and not __fish_seen_subcommand_from list take-back help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l input -d 'Only events of this input, by its number in `pending list`' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l source -d 'Only events of every input with this path or name' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l backfill -d 'Only events of this backfill' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l requestor -d 'Only events of this requestor' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l from -d 'Only events that happened at or after this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l to -d 'Only events that happened before this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l input -d 'Only events of this input, by its number in `pending list`' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l source -d 'Only events of every input with this path or name' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l backfill -d 'Only events of this backfill' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l requestor -d 'Only events of this requestor' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l from -d 'Only events that happened at or after this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l to -d 'Only events that happened before this instant' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l yes -d 'Take the events back'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from take-back" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists the pending events by input and requestor'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from help" -f -a "take-back" -d 'Takes pending events back. Without --yes it only says which events these would be'
complete -c passbridge -n "__fish_passbridge_using_subcommand pending; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and not __fish_seen_subcommand_from list show help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and not __fish_seen_subcommand_from list show help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and not __fish_seen_subcommand_from list show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and not __fish_seen_subcommand_from list show help" -f -a "list" -d 'Lists inputs, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and not __fish_seen_subcommand_from list show help" -f -a "show" -d 'Shows one input, with the number of rejected lines for each reason, and of exchanges without an event for each rule'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and not __fish_seen_subcommand_from list show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from list" -l limit -d 'The most inputs to list' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from list" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from show" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists inputs, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows one input, with the number of rejected lines for each reason, and of exchanges without an event for each rule'
complete -c passbridge -n "__fish_passbridge_using_subcommand inputs; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and not __fish_seen_subcommand_from list show help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and not __fish_seen_subcommand_from list show help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and not __fish_seen_subcommand_from list show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and not __fish_seen_subcommand_from list show help" -f -a "list" -d 'Lists the files, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and not __fish_seen_subcommand_from list show help" -f -a "show" -d 'Shows one file: how many lines it has for each reason, and the first of these lines'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and not __fish_seen_subcommand_from list show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from list" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from show" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists the files, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows one file: how many lines it has for each reason, and the first of these lines'
complete -c passbridge -n "__fish_passbridge_using_subcommand rejects; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -f -a "list" -d 'Lists dead letters, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -f -a "show" -d 'Shows one dead letter with its event'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -f -a "requeue" -d 'Sends dead letters again, in the next drain'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -f -a "discard" -d 'Discards dead letters: they are never sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and not __fish_seen_subcommand_from list show requeue discard help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from list" -l reason -d 'Only events with this reason' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from list" -l limit -d 'The most events to list, the latest first' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from list" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from show" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from requeue" -l reason -d 'Events with this reason, as `list` shows it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from requeue" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from requeue" -l all -d 'All events'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from requeue" -l accept-repeat -d 'Also send events that Analytics may then count twice'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from requeue" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from requeue" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from discard" -l reason -d 'Events with this reason, as `list` shows it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from discard" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from discard" -l all -d 'All events'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from discard" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from discard" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists dead letters, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows one dead letter with its event'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from help" -f -a "requeue" -d 'Sends dead letters again, in the next drain'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from help" -f -a "discard" -d 'Discards dead letters: they are never sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand dead-letter; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -f -a "list" -d 'Lists held events, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -f -a "show" -d 'Shows one held event in full'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -f -a "requeue" -d 'Sends held events again, in the next drain, in the form of their first attempt'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -f -a "settle" -d 'Records whether held events were counted'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and not __fish_seen_subcommand_from list show requeue settle help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from list" -l reason -d 'Only events with this reason' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from list" -l limit -d 'The most events to list, the latest first' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from list" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from show" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from requeue" -l reason -d 'Events with this reason, as `list` shows it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from requeue" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from requeue" -l all -d 'All events'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from requeue" -l accept-repeat -d 'Also send events that Analytics may then count twice'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from requeue" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from requeue" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -l reason -d 'Events with this reason, as `list` shows it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -l all -d 'All events'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -l delivered -d 'The events were counted'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -l discarded -d 'The events were not counted, and must not be sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from settle" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from help" -f -a "list" -d 'Lists held events, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from help" -f -a "show" -d 'Shows one held event in full'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from help" -f -a "requeue" -d 'Sends held events again, in the next drain, in the form of their first attempt'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from help" -f -a "settle" -d 'Records whether held events were counted'
complete -c passbridge -n "__fish_passbridge_using_subcommand held; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l mvpd -d 'The MVPD that gave the person this user ID. Another MVPD may have given the same ID to another person' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l mvpd-user-id -d 'The MVPD\'s ID of the person, as in mvpd_user_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l visitor-id -d 'The programmer\'s ID of the person, as in visitor_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l device-id -d 'A device, as in device_id. This includes everybody who used it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l session-id -d 'A session, as in session_id' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l ip-address -d 'An address, as in ip_address, in any form. A household or more people may share it' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l dry-run -d 'Only say what would be erased and replaced'
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand backup" -l into -d 'Write into this folder, to a file named after the time. Only the newest --keep files with such names are kept' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backup" -l keep -d 'How many such files to keep in DIR, including the new one' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand backup" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand backup" -l move -d 'Move the buffer into FILE, to take it to another host or disk. The original is closed: no other command uses it any more'
complete -c passbridge -n "__fish_passbridge_using_subcommand backup" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand restore" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand restore" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand retention" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand retention" -l trust-clock -d 'Trust this host\'s clock after a jump, and delete what is old by it'
complete -c passbridge -n "__fish_passbridge_using_subcommand retention" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand retention" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand schema" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand schema" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand schema" -s h -l help -d 'Print help'
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l listen -d 'The loopback address to listen at; port 0 takes any free port' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l suite -d 'A suite that exists, with its settings' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l wrong -d 'A setting of a suite that is wrong: see --help' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l faults -d 'The faults: see --help' -r
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l config -d 'The configuration file. Paths in it are relative to it, never to the working directory' -r -F
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l only-these -d 'Forget the hits of every other suite, as Adobe does, instead of counting them'
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l strict -d 'Answer a request that breaks a rule with FAILURE and the rule, instead of accepting what Adobe accepts'
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -l json -d 'Print one JSON document on standard output, also when the command fails. Logs and errors go to standard error'
complete -c passbridge -n "__fish_passbridge_using_subcommand sandbox" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "demo" -d 'Shows everything in one run: a local stand-in for Adobe, example events, a drain, and what Analytics would count'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "init" -d 'Writes a commented configuration file and creates the buffer that it names'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "suite" -d 'Says which requestor\'s events go to which report suite, and how'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "ingest" -d 'Stores events from files or standard input, each exactly once'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "pull" -d 'Fetches what Adobe Pass counted'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "drain" -d 'Sends what is pending, once, and exits: for cron and systemd timers'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "run" -d 'Stays up and drains on the schedule of the configuration, every 30 minutes by default'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "serve" -d 'Listens for HTTP as `run` does (events, the status page, metrics), for hosts where a timer or cron starts the drains'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "backfill" -d 'Loads old events and sends them beside live events, which always go first'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "report" -d 'Shows the server-side metrics of a period, as Adobe Pass defines them: per MVPD and in total'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "reconcile" -d 'Compares what ESM counted, what the buffer holds and what Analytics reports, and says why they differ'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "explain" -d 'Shows the hit that an event becomes, tag by tag, and why'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "trace" -d 'Shows what became of one event: its source, its state, every attempt, and the hit, tag by tag'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "export" -d 'Writes events or outcomes for a warehouse, from where the last export ended, or all that is stored about a person'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "status" -d 'Shows where every event is: what waits and since when, what stands in the way, accounting, last runs'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "doctor" -d 'Examines the host: configuration, secrets, buffer, disk, clock, locks, suites, units of systemd, and the connections to the hosts of Adobe'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "config" -d 'Checks the configuration, or shows every key with its value and the source of that value. No other file is read'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "pending" -d 'Lists the pending events by the input that they came with, or takes them back before they are sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "inputs" -d 'Lists the inputs, or shows one: how many events were stored, duplicates or rejected, for which reasons, and its digest'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "rejects" -d 'Lists the files of rejected lines, or shows one of them'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "dead-letter" -d 'Lists, requeues or discards the events that Adobe rejected'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "held" -d 'Lists, requeues or settles the events that may have been counted and therefore are not sent again'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "forget" -d 'Erases a person\'s events from the buffer, its inbox and the rejected lines, for privacy requests'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "backup" -d 'Copies the live buffer to a new file'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "restore" -d 'Puts a copy, made with `backup` or by an upgrade, in the place of the buffer'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "retention" -d 'Deletes delivered and discarded events whose retention has passed, now instead of at the end of a drain'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "schema" -d 'Prints a schema that this program knows. Without a name, it lists the schemas'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "sandbox" -d 'Runs a local stand-in for Adobe\'s endpoints, for rehearsal and tests, until it is stopped'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and not __fish_seen_subcommand_from demo init suite ingest pull drain run serve backfill report reconcile explain trace export status doctor config pending inputs rejects dead-letter held forget backup restore retention schema sandbox help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "add" -d 'Maps requestors to a suite. Their events are then sent to it; with --paused, only after `suite resume`'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "list" -d 'Lists the suites with their requestors'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "show" -d 'Shows one suite with all its settings'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "set" -d 'Changes settings of a suite. Settings that are not given stay as they are'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "pause" -d 'Stops sending a suite\'s events, within a second also in a running drain. The events wait in the buffer'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "resume" -d 'Sends events again to a suite that was paused, or whose hits are known to be lost'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "remove" -d 'Retires a suite, or takes single requestors from it. Their events are parked until the requestors are mapped again'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "sheet" -d 'Writes a checklist of all that must be set in a report suite: 18 events, 34 eVars, and the settings around them'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "check" -d 'Compares a report suite with what the integration needs, field by field'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "confirm" -d 'Records that a person has confirmed settings in Admin that no API shows'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "probe" -d 'Sends marked canary hits into a suite, and reads them back through the Reports API'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "export" -d 'Writes every suite as JSON, for `suite import` into another buffer. The file has no secrets'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from suite" -f -a "import" -d 'Adds the suites of an export. Suites that are known already must have the same settings'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from pull" -f -a "esm" -d 'Fetches reports of Entitlement Service Monitoring by hour, and stores their counts as events'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "plan" -d 'Reads all inputs once, stores no event, and says what the backfill would do'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "run" -d 'Loads the inputs of a backfill and sends their events until all are sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "status" -d 'Shows one backfill, or all of them'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "pause" -d 'Stops a running backfill until it is resumed'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "resume" -d 'Continues a backfill that was planned, stopped, paused or cancelled, or a finished one with events that can be sent now. The options that are given replace the earlier ones'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "cancel" -d 'Discards the events that a backfill has not sent yet; `resume` restores them'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from backfill" -f -a "export" -d 'Writes the events that a backfill has not sent yet into files of the bulk route, and sends nothing'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from export" -f -a "events" -d 'Writes each event that the buffer has, in the order of storing'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from export" -f -a "outcomes" -d 'Writes each outcome (delivered, dead, held or discarded), with the serial that Analytics knows'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from export" -f -a "person" -d 'Writes all that is stored about a person: events with their attempts, inbox rows, rejected lines, and the memory of sources'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Checks the file and the variables by all rules, and names each mistake with its line or variable'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Shows every key with its value, and its source: the default, a line of the file, or a variable. Secrets are hidden'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from pending" -f -a "list" -d 'Lists the pending events by input and requestor'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from pending" -f -a "take-back" -d 'Takes pending events back. Without --yes it only says which events these would be'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from inputs" -f -a "list" -d 'Lists inputs, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from inputs" -f -a "show" -d 'Shows one input, with the number of rejected lines for each reason, and of exchanges without an event for each rule'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from rejects" -f -a "list" -d 'Lists the files, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from rejects" -f -a "show" -d 'Shows one file: how many lines it has for each reason, and the first of these lines'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from dead-letter" -f -a "list" -d 'Lists dead letters, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from dead-letter" -f -a "show" -d 'Shows one dead letter with its event'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from dead-letter" -f -a "requeue" -d 'Sends dead letters again, in the next drain'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from dead-letter" -f -a "discard" -d 'Discards dead letters: they are never sent'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from held" -f -a "list" -d 'Lists held events, the latest first'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from held" -f -a "show" -d 'Shows one held event in full'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from held" -f -a "requeue" -d 'Sends held events again, in the next drain, in the form of their first attempt'
complete -c passbridge -n "__fish_passbridge_using_subcommand help; and __fish_seen_subcommand_from held" -f -a "settle" -d 'Records whether held events were counted'
