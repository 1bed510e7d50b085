//! Values of a viewer that sources spell in different ways: identifiers, words for "unknown", and which address counts.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Property;
use super::address::{address, address_of_node, is_of_nobody, is_shared, node, unmapped};

/// The words of [`WORDS`], each with its row, grouped by length because every identifier of every event is compared
/// with them. They mean "no viewer", in upper or lower case: if one were sent as an ID, Adobe would count all these
/// viewers as one visitor. Each version of the visitor rules uses one row more than the version before. Version 3 also
/// recognises a word in brackets or quotes, and version 4 a word in Base64 or with other signs between its parts
/// (`NOT_SET`).
static NOBODY: LazyLock<Vec<Vec<(usize, &str)>>> = LazyLock::new(|| {
    let rows = WORDS.iter().enumerate();
    let words = || rows.clone().flat_map(|(row, words)| words.split('|').map(move |word| (row, word)));
    let longest = words().map(|(_, word)| word.len()).max().unwrap_or(0);
    (0..=longest).map(|length| words().filter(|(_, word)| word.len() == length).collect()).collect()
});
/// A row has bars between its words.
const WORDS: [&str; 4] = [
    "0|null|unknown",
    // Databases, JavaScript, and devices whose owner limits tracking write these.
    "undefined|none|nil|\\n|(null)|(none)|<null>|nan|n/a|-|[object object]|00000000-0000-0000-0000-000000000000",
    // Go, R, pandas, Julia, pivot tables and Analytics write these. Some were numbers or flags, some masks.
    "%!s(<nil>)|%!v(<nil>)|%!d(<nil>)|%!s(missing)|na|n.a.|nat|not set|not available|no value|unset|(blank)|(empty)|(missing)|--|0.0|-0|-0.0|false|\
     redacted|masked|[filtered]|[hidden]|[removed]|[secret]|[sensitive]",
    // The last row has the largest numbers of some types, the address that Android shows in place of its network card's, an
    // Android ID that many emulators share, and digests of the empty text, `null` and `undefined`. `Array` is what PHP
    // makes of every list, so whoever is called Array is one of many.
    concat!(
        "removed|obfuscated|obscured|scrubbed|sanitized|sanitised|anonymized|anonymised|pseudonymized|pseudonymised|hidden|sensitive|confidential|",
        "omitted|notlogged|suppressed|deleted|stripped|filtered|blocked|concealed|withheld|secret|sha256:|fingerprint|",
        "true|nullptr|undef|missing|empty|unspecified|notset|notavailable|notapplicable|novalue|optional.empty|anonymous|-1|-1.0|",
        "inf|nul|nan.0|dbnull|nullvalue|__debezium_unavailable_value|#ref|#name|#n/a n/a|wahr|falsch|vrai|faux|verdadero|verdadeiro|(leer)|(vide)|(vuoto)|(vazio)|(leeg)|(en blanco)|",
        "notprovided|datanotavailable|array|optional[null]|optional(nil)|b''|b\"\"|b'null'|b'none'|loading...|loading\u{2026}|020000000000|02-00-00-00-00-00|",
        "infinity|2147483647|4294967295|9223372036854775807|18446744073709551615|%s|%d|%v|%@|02:00:00:00:00:00|9774d56d682e549c|",
        "d41d8cd98f00b204e9800998ecf8427e|da39a3ee5e6b4b0d3255bfef95601890afd80709|e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855|",
        "37a6259cc0c1dae299a7866489dff0bd|2be88ca4242c76e8253ac62474851065032d6833|74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b|",
        "5e543256c480ac577d30f76f9120eb74|d5d4cd07616a542891b7ec2d0257b3a24b69856e|eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c|",
        // SHA-512 of these texts, then all the digests as Base64 without padding.
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e|",
        "04f8ff2682604862e405bf88de102ed7710ac45c1205957625e4ee3e5f5a2241e453614acc451345b91bafc88f38804019c7492444595674e94e8cf4be53817f|",
        "16a332e891e86030aa9d08ab032fe026c4d4857b64902c386f3ede705373ecf9206f58d712a91a07a63dcbd14f133ab48571bfeb88927995224b299916af8fa5|",
        "1b2m2y8asgtpgamy7phcfg|n6ylnmdb2ukzp4zkid/wvq|xlqyvssarfd9mpdvksdrda|2jmj7l5rsw0yvb/vlwaykk/ybwk|k+impcqsduglosykdiuqzqmtadm|1dtnb2fqvcirt+wtalezoktphw4|47deqpj8hbsa+/timw+5jceuqerkm5nmpjwzg3hsufu|dcnomk/nsy+12vhzaslxiswzlgt5uha7jagykvmcuqs|6wrdenjzehnisdamadkbdvlwiqu8b6+bs+xvnzqplqw|",
        "z4phnx7vul3xvchq1m2ab9yg5aulvxxcg/spidns6c5h0ne8xyxysp+dgnkhfuwvy7kxvudbeoglodj6+sfapg|bpj/jojgsglkbb+i3hau13ekxfwsbzv2jetupl9aikhku2fkzeutrbkbr8ipoibagcdjjerzvntptoz0vlobfw|fqmy6jhoydcqnqiray/gjstuhxtkkcw4bz7ecfnz7pkgb1jxeqkab6y9y9fpezq0hxg/64isezuisymzfq+ppq"
    ),
];
/// What databases write where a column has no value, perhaps in brackets. Version 4 sends no eVar for these words.
const NO_VALUES: [&str; 2] = ["null", "\\n"];
/// How programs begin to print an object instead of its value, in lower case, with bars between.
const OBJECTS: &str = "[object |#<object|<object |<function |java.lang.|[ljava.|[b@|system.string[|system.byte[|system.object|\
     system.collections.|hash(0x|array(0x|scalar(0x";
/// What encloses a placeholder that a template never filled: pairs, with a space inside and bars between them.
const TEMPLATES: &str = "< >|{ }|[ ]|% %|@ @|__ __|#{ }|$ |: ";
/// What may stand between the parts of a word; `%` is for `%20`.
const SEPARATORS: [char; 5] = [' ', '_', '-', '+', '%'];
/// Signs outside ASCII that are written in place of a value, as punctuation of ASCII is.
const DASHES: &str = " \u{2013}\u{2014}\u{2026}\u{b7}\u{2205}";
/// What may stand beside a word for "no viewer" without a meaning of its own, as in `SQL_NULL`, R's `NA_character_` and
/// `REMOVED_BY_GATEWAY`.
const BESIDE_WORDS: &str = "sql|system|value|character|integer|real|by|for|gateway|proxy|privacy|header";
/// How C on Windows begins to print what is no number.
const NO_NUMBER: &str = "1.#";
/// A word with other punctuation in front, and perhaps behind it, has at least this many letters.
const WORD_MIN: usize = 3;
/// What joins words to one identifier.
const JOINTS: [char; 10] = ['-', '_', ':', '|', '@', '.', '/', ';', ' ', ','];
/// A text with at least this many stars is a mask. Fewer may be part of a name.
const STARS_MIN: usize = 3;
/// What encloses a word: brackets and quotes.
const BRACKETS: [(char, char); 6] =
    [('(', ')'), ('<', '>'), ('[', ']'), ('{', '}'), ('"', '"'), ('\'', '\'')];
/// What Excel shows for "not available" in each of its languages, and while it fetches data, with bars between.
const NOT_AVAILABLE: &str =
    "#n/a|#nv|#n/d|#n/b|#i/t|#yok|#н/д|#δ/υ|#hiányzik|#není_k_dispozici|#getting_data";
/// An identifier that consists of zeros means "no viewer" if it has at least this many digits: a UUID has 32, an
/// Experience Cloud ID 38.
const ZEROS_MIN: usize = 32;
/// A mask has at least this many letters. So has the row of `#` that a spreadsheet shows in a narrow column.
const MASK_MIN: usize = 2;
/// A spreadsheet keeps this many digits of a number, and JavaScript at most 17.
const SPREADSHEET_DIGITS: usize = 15;
/// The address of a network card has this many digits. If all are zeros, or all are `f`, it is no address.
const CARD_DIGITS: usize = 12;
/// How the user ID of a degraded authentication begins. That ID belongs to nobody (Pass REST API V2, samples of
/// profiles of type `degraded`).
pub const DEGRADED_USER_PREFIX: &str = "95cf93bcd183214a";
/// How the user ID of a temporary pass begins (the same samples, of type `temporary`).
const TEMPORARY_PREFIX: &str = "temppass_";
/// The token type of an authentication that degradation granted.
const DEGRADED_TOKEN: &str = "authnall";

/// The identifiers of a viewer, to which [`VisitorRules`] apply.
pub(super) const IDENTIFIERS_OF_VIEWER: [Property; 4] =
    [Property::MvpdUserId, Property::VisitorId, Property::DeviceId, Property::SessionId];
/// All identifiers that spreadsheets may spoil. [`VisitorRules`] apply to the first four only.
pub const IDENTIFIERS: [Property; 7] = {
    let [user, visitor, device, session] = IDENTIFIERS_OF_VIEWER;
    [user, visitor, device, session, Property::Mvpd, Property::Proxy, Property::ResourceId]
};

/// The version of the rules that find the visitor of an event. It is part of a hit's form: an event that was sent under
/// one version is always repeated under the same version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum VisitorRules {
    /// Three words for "no viewer"; an address only in its plain spelling.
    V1,
    /// Fifteen words for "no viewer"; also an address with a port, in brackets, with a zone, or first in a list.
    V2,
    /// More words for "no viewer"; every spelling of an address; identifiers without signs of a spreadsheet.
    V3,
    /// All words for "no viewer", also encoded or spelt otherwise. Templates and printed objects mean "no viewer" too.
    /// Loopback, unspecified and broadcast addresses are ignored.
    #[default]
    V4,
}

impl VisitorRules {
    const ALL: [VisitorRules; 4] = [VisitorRules::V1, VisitorRules::V2, VisitorRules::V3, VisitorRules::V4];

    /// The number under which the buffer stores this version.
    pub fn number(self) -> i64 {
        self as i64 + 1
    }

    pub fn of_number(number: i64) -> Option<VisitorRules> {
        VisitorRules::ALL.into_iter().find(|rules| rules.number() == number)
    }

    /// The identifier in a text; `None` if the text means "no viewer".
    pub fn known(self, text: &str) -> Option<&str> {
        if self < VisitorRules::V3 {
            let bare = text.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control());
            return (!self.is_word_for_nobody(bare)).then_some(text);
        }
        let is_of_many = |value: &str| value.parse().is_ok_and(|it| is_of_nobody(it) || is_shared(it));
        let value = written(text).filter(|value| !self.is_word_for_nobody(value))?;
        if self >= VisitorRules::V4 && is_of_many(value) {
            return None;
        }
        // White space around an ID is kept: IDs that differ only in white space are different visitors.
        Some(if value == bare(text) { text } else { value })
    }

    /// The text that the eVar of a property shows. From version 4 on, it is `None` where a database wrote that there is
    /// no value. An MVPD User ID or a visitor ID always has a text, from version 3 on without what a spreadsheet put
    /// around it.
    pub fn shown(self, property: Property, text: &str) -> Option<&str> {
        if !matches!(property, Property::MvpdUserId | Property::VisitorId) {
            return (self < VisitorRules::V4 || !is_no_value(text)).then_some(text);
        }
        if self < VisitorRules::V3 {
            return Some(text);
        }
        Some(unwrapped(text))
    }

    fn is_word_for_nobody(self, bare: &str) -> bool {
        let is_word = |text: &str| {
            let mut words = NOBODY.get(text.len()).into_iter().flatten();
            text.is_empty()
                || words.any(|(row, word)| *row <= self as usize && text.eq_ignore_ascii_case(word))
        };
        let has_signs = has_signs(bare);
        let is_other_spelling = || {
            let plain = inside(bare).filter(|_| has_signs).unwrap_or(bare);
            let core = bare.trim_matches(|letter: char| letter.is_ascii_punctuation());
            let is_alone = bare.starts_with(|first: char| first.is_ascii_punctuation())
                && core.len() >= WORD_MIN
                && core.bytes().all(|letter| letter.is_ascii_alphabetic());
            let joined = || plain.replace("%20", "").replace(SEPARATORS, "");
            let is_between = plain.trim_matches(SEPARATORS) == plain && plain.contains(SEPARATORS);
            is_between && is_word(&joined())
                || is_alone && is_word(core)
                || decoded(bare).is_some_and(|text| is_word(text.trim()))
        };
        let is_in_other_letters = || {
            let has_others = bare.contains('&') || !bare.is_ascii();
            let is_plain = |plain: String| is_word(&plain) || inside(&plain).is_some_and(is_word);
            // The digests above have these lengths in Base64, which logs write with padding and with other signs.
            let digest = bare.trim_end_matches('=');
            // PostgreSQL writes the type of a value behind it: `NULL::text`.
            let (word, kind) = bare.split_once("::").unwrap_or((bare, ""));
            let is_cast = !word.is_empty() && kind.starts_with(|first: char| first.is_ascii_alphabetic());
            has_others && is_plain(unescaped(bare))
                || is_cast && is_word(word)
                || matches!(digest.len(), 22 | 27 | 43 | 86)
                    && is_word(&digest.replace('-', "+").replace('_', "/"))
        };
        is_word(bare)
            || self >= VisitorRules::V3
                && (has_signs && inside(bare).is_some_and(is_word) || is_one_letter(bare))
            || self >= VisitorRules::V4
                && (is_left_over(bare, has_signs)
                    || is_other_spelling()
                    || has_signs && (is_masked(bare) || is_made_of(bare, &is_word) || is_in_other_letters()))
    }

    /// The viewer's address in a text, by this version of the rules; `None` if they find none.
    pub fn address(self, text: &str) -> Option<IpAddr> {
        match self {
            VisitorRules::V1 => text.trim().parse().ok(),
            VisitorRules::V2 => address(text.split(',').next()?),
            VisitorRules::V3 | VisitorRules::V4 => self.address_in_list(text),
        }
    }

    /// The first address in a list that proxies wrote. Hidden nodes are skipped, as a proxy may hide its client.
    fn address_in_list(self, text: &str) -> Option<IpAddr> {
        let mut nodes = text.split(',').map(node).filter(|node| !self.is_hidden(node));
        if self < VisitorRules::V4 {
            return address_of_node(nodes.next()?).map(|found| found.to_canonical());
        }
        // Nearly every event has one plain address. It is never hidden, unless it belongs to nobody.
        if let Ok(plain) = text.parse::<Ipv4Addr>() {
            return Some(IpAddr::V4(plain)).filter(|plain| !is_of_nobody(*plain));
        }
        let found = nodes.map(|node| address_of_node(unmapped(node)).map(|found| found.to_canonical()));
        let mut found = found.filter(|found| !found.is_some_and(is_of_nobody));
        let first = found.next()?;
        // Many networks have the same private addresses, so the first public address after one tells more.
        let is_alone = !first.is_some_and(is_shared);
        found.flatten().find(|found| !is_alone && !is_shared(*found)).or(first)
    }

    /// Whether a node is hidden: empty, a word for "no viewer", or a made-up name with an underscore first (RFC 7239).
    fn is_hidden(self, node: &str) -> bool {
        // No plain address means "no viewer" but 0.0.0.0. Nearly every event has one, so it is not compared with the words.
        let is_plain = node.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_unspecified());
        !is_plain && (self.is_word_for_nobody(bare(node)) || node.starts_with('_'))
    }
}

/// A value as it counts in the identity of an event, equal for texts that become the same hit: an address in one
/// spelling, an identifier without the marks of a spreadsheet, an eVar without white space around it. It is empty if the
/// text says that there is no value. This rule must never change.
pub(super) fn counted(property: Property, text: &str) -> Cow<'_, str> {
    match property {
        _ if is_no_value(text) => "".into(),
        Property::IpAddress if text.parse::<Ipv4Addr>().is_err() => {
            VisitorRules::V4.address(text).map_or(text.into(), |address| address.to_string().into())
        }
        Property::IpAddress | Property::UserAgent => text.into(),
        // White space around these makes another visitor.
        property if IDENTIFIERS_OF_VIEWER.contains(&property) => unwrapped(text).into(),
        _ => text.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control()).into(),
    }
}

/// Whether a text is what a database writes for no value, in any column.
pub fn is_no_value(text: &str) -> bool {
    let text = bare(text);
    // The length is checked first for speed: every column comes here, and most texts are too long to match.
    text.len() <= "<null>".len()
        && NO_VALUES.iter().any(|word| inside(text).unwrap_or(text).eq_ignore_ascii_case(word))
}

/// The text between brackets or quotes; `None` if nothing encloses it.
fn inside(text: &str) -> Option<&str> {
    BRACKETS.into_iter().find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close))
}

/// The text without escapes of HTML, and with letters of ASCII in place of full-width ones.
fn unescaped(text: &str) -> String {
    let narrow = |letter: char| match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        letter => letter,
    };
    let text: String = text.chars().map(narrow).collect();
    let signs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    signs.into_iter().fold(text, |text, (name, sign)| text.replace(name, sign))
}

/// Whether an address is lost: the text is neither an address of a viewer nor a word for "unknown".
pub fn is_lost_address(text: &str) -> bool {
    let rules = VisitorRules::default();
    rules.address(text).is_none() && text.split(',').map(node).any(|item| !rules.is_hidden(item))
}

/// An identifier for comparison, without white space and what a spreadsheet puts around it. A spoilt identifier is
/// only trimmed.
pub fn identifier(text: &str) -> &str {
    written(text).unwrap_or_else(|| bare(text))
}

/// Whether a spreadsheet spoilt one of the [`IDENTIFIERS`]: an identifier of a viewer if its original text is lost,
/// any other one if it was changed at all.
pub fn is_spoilt(property: Property, text: &str) -> bool {
    if IDENTIFIERS_OF_VIEWER.contains(&property) { written(text).is_none() } else { is_spoilt_text(text) }
}

/// Whether a spreadsheet changed an identifier at all, even if the original can be read from the text.
pub(super) fn is_spoilt_text(text: &str) -> bool {
    written(text) != Some(bare(text))
}

/// Whether an identifier is a whole number above 0 with a fraction of zeros. It is left as it is, because nobody can
/// know whether the fraction belongs to it.
pub fn has_zeros_behind(text: &str) -> bool {
    let is_zeros = |digits: &str| digits.trim_matches('0').is_empty();
    text.contains('.')
        && identifier(text).split_once('.').is_some_and(|(whole, fraction)| {
            !fraction.is_empty()
                && is_zeros(fraction)
                && !is_zeros(whole)
                && whole.bytes().all(|digit| digit.is_ascii_digit())
        })
}

/// Whether a number ends in 0; `None` unless it has more digits than a spreadsheet keeps. A spreadsheet, or JavaScript,
/// may have replaced the last digits of such a number with zeros.
pub fn long_number_ends_in_zero(text: &str) -> Option<bool> {
    let is_long = text.len() > SPREADSHEET_DIGITS && text.bytes().all(|digit| digit.is_ascii_digit());
    is_long.then(|| text.ends_with('0'))
}

/// An identifier as its source wrote it. A spreadsheet keeps a text that looks like a number as `="0012345"`
/// or after an apostrophe; both are removed. `None` if the spreadsheet kept only a number's first digits
/// (`1.23457E+11` or `1,23457E+11`), showed `######` in a narrow column, or made the text a formula (`#N/A`).
fn written(text: &str) -> Option<&str> {
    let text = bare(text);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // An apostrophe that begins a name (`'t Gooi`) is part of the text.
    let is_marked = |behind: &&str| is_number(behind) || behind.starts_with(['=', '+', '-', '@']);
    let quoted = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).map(bare);
    if let Some(inside) = quoted.or_else(|| text.strip_prefix('\'').filter(is_marked)) {
        return Some(inside).filter(|inside| !is_error(inside));
    }
    let is_one_digit = matches!(text.as_bytes(), [b'0'..=b'9', b'.' | b',' | b'e' | b'E', ..]);
    let is_short = is_one_digit
        && text.split_once(['e', 'E']).is_some_and(|(digits, exponent)| {
            let fraction = digits.get(2..).unwrap_or("0");
            // An exponent alone does not prove a number: `3e4567` may be a hexadecimal identifier.
            let is_marked = digits.len() > 1 || exponent.starts_with('+');
            let power = exponent.strip_prefix('+').unwrap_or(exponent);
            is_marked && is_number(fraction) && is_number(power)
        });
    (!is_short && !is_error(text)).then_some(text)
}

/// The text without what a spreadsheet puts around it. Any other text is left as it is.
pub fn unwrapped(text: &str) -> &str {
    written(text).filter(|value| *value != bare(text)).unwrap_or(text)
}

/// Whether a spreadsheet shows this text in the place of a value that it cannot find, compute or show.
fn is_error(text: &str) -> bool {
    let is_number = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    text.starts_with('#')
        && (text.ends_with(['!', '?'])
            || text.len() >= MASK_MIN && text.bytes().all(|letter| letter == b'#')
            || NOT_AVAILABLE.split('|').any(|error| text.to_lowercase() == error))
        || text
            .strip_prefix("Err")
            .is_some_and(|rest| rest.trim_start().strip_prefix(':').is_some_and(is_number))
}

/// The text without white space, control characters and zero-width characters at its ends.
fn bare(text: &str) -> &str {
    // Nearly every text begins and ends with a visible character of ASCII.
    let is_visible = |letter: Option<u8>| letter.is_some_and(|letter| letter.is_ascii_graphic());
    if is_visible(text.bytes().next()) && is_visible(text.bytes().next_back()) {
        return text;
    }
    text.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control() || is_invisible(letter))
}

/// Characters without a width, which programs and keyboards leave in texts.
pub fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// The text that this Base64 encodes; `None` if it is no Base64, or if its text is so short that it may be a name.
fn decoded(text: &str) -> Option<String> {
    // Only these begin a text of ASCII, or one with white space of Unicode before it. Most identifiers begin otherwise.
    if !text.starts_with(|first| matches!(first, 'A'..='Z' | 'a'..='f' | 'w' | '4')) {
        return None;
    }
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok().filter(|plain| text.ends_with('=') || plain.len() >= 4)
}

/// Whether a text is left over from a missing value: punctuation alone, a zero (`0.00`), a network card's address of
/// nothing but zeros or `f`, a printed object, or a placeholder of a template.
fn is_left_over(text: &str, has_signs: bool) -> bool {
    let digits = || text.chars().filter(|letter| !matches!(letter, '-' | ':' | '.' | ',' | '+'));
    let is_all =
        |letter: char| digits().next().is_some() && digits().all(|it| it.eq_ignore_ascii_case(&letter));
    let starts_with = |start: &str| text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    let is_of_name = |letter: char| letter.is_ascii_alphabetic() || "_-. (?".contains(letter);
    let place = |around: &str| {
        let (open, close) = around.split_once(' ')?;
        let name = text.strip_prefix(open)?.strip_suffix(close)?;
        let name = name.trim_matches(['{', '}', '(', ')', '[', ']', '<', '>', '%', ' ']);
        (!name.is_empty() && name.chars().all(is_of_name)).then_some(())
    };
    text.len() < ZEROS_MIN
        && text.chars().all(|letter| letter.is_ascii_punctuation() || DASHES.contains(letter))
        || is_all('0') && (digits().count() < text.len() || text.len() >= CARD_DIGITS)
        || is_all('f') && digits().count() >= CARD_DIGITS
        || has_signs
            && (text.trim_start_matches(['-', '+']).starts_with(NO_NUMBER)
                || OBJECTS.split('|').any(starts_with)
                || text.contains(' ') && text.contains(" object at 0x")
                || TEMPLATES.split('|').any(|around| place(around).is_some()))
}

/// Whether a text has more than letters and digits of ASCII. Most identifiers have not, and need no further look.
fn has_signs(text: &str) -> bool {
    !text.bytes().all(|letter| letter.is_ascii_alphanumeric())
}

/// Whether letters of a text were masked, so that the rest does not identify a person.
fn is_masked(text: &str) -> bool {
    let has = |mark: &str| {
        text.as_bytes().windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark.as_bytes()))
    };
    text.matches(['*', '•']).count() >= STARS_MIN
        || ["[redacted", "<redacted", "_redacted", "xxxx-xxxx"].into_iter().any(has)
}

/// Whether a text is several words for "no viewer" that a template joined: `undefined-undefined`, `null:null`.
fn is_made_of(text: &str, is_word: &dyn Fn(&str) -> bool) -> bool {
    let parts = || text.split(JOINTS).filter(|part| !part.is_empty());
    let is_known = |part: &str| !part.bytes().all(|it| it.is_ascii_digit()) && is_word(part);
    let is_beside = |part: &str| BESIDE_WORDS.split('|').any(|word| part.eq_ignore_ascii_case(word));
    // The first part of most identifiers is no such word.
    parts().all(|part| is_known(part) || is_beside(part)) && parts().count() > 1 && parts().any(is_known)
}

/// Whether a text repeats one letter: the zeros of an empty UUID, or the letters of a mask (`***`, `xxxx-xxxx`).
fn is_one_letter(text: &str) -> bool {
    let mut letters = text.chars().filter(|letter| *letter != '-').map(|letter| letter.to_ascii_lowercase());
    let Some(first) = letters.next() else { return false };
    let min = match first {
        '0' => ZEROS_MIN,
        'x' | '*' | '•' => MASK_MIN,
        _ => return false,
    };
    letters.try_fold(1, |count, letter| (letter == first).then_some(count + 1)).is_some_and(|all| all >= min)
}

/// Whether a user ID stands for degraded access, which many viewers share, or for temporary access, which is always
/// new. `token_type` is that of the event.
pub fn is_synthetic(id: &str, token_type: Option<&str>) -> bool {
    id.starts_with(DEGRADED_USER_PREFIX)
        || id.starts_with(TEMPORARY_PREFIX)
        || token_type.is_some_and(|token| token.trim().eq_ignore_ascii_case(DEGRADED_TOKEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for (text, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            (" 203.0.113.9 ", Some("203.0.113.9")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("::FFFF:CB00:7109", Some("203.0.113.9")),
            ("203.0.113.9:51234", Some("203.0.113.9")),
            ("203.0.113.9, 198.51.100.1", Some("203.0.113.9")),
            ("203.0.113.9:51234,198.51.100.1:1", Some("203.0.113.9")),
            ("[::ffff:203.0.113.9]:443", Some("203.0.113.9")),
            ("2001:DB8:0:0::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("[fe80::1%25eth0]:80", Some("fe80::1")),
            ("203.0.113.256", None),
            ("unknown, 203.0.113.9", None),
            ("203.0.113.9%eth0", None),
            ("[203.0.113.9", None),
            ("example.com:80", None),
            ("", None),
        ] {
            let found = |rules: VisitorRules| rules.address(text).map(|address| address.to_string());
            assert_eq!(found(VisitorRules::V2).as_deref(), expected, "{text}");
            let of_list = (text == "unknown, 203.0.113.9").then_some("203.0.113.9");
            assert_eq!(found(VisitorRules::V3).as_deref(), expected.or(of_list), "{text}");
        }
        for (text, expected) in [
            ("for=203.0.113.9;proto=https", Some("203.0.113.9")),
            ("proto=http; For=\"[2001:db8::1]:443\"", Some("2001:db8::1")),
            ("for=unknown, for=203.0.113.9", Some("203.0.113.9")),
            ("for=_secret;by=203.0.113.43, for=198.51.100.17", Some("198.51.100.17")),
            ("203.0.113.9/32", Some("203.0.113.9")),
            ("2001:db8::1/128", Some("2001:db8::1")),
            ("/203.0.113.9:51234", Some("203.0.113.9")),
            ("/[2001:db8:0:0:0:0:0:1]:443", Some("2001:db8::1")),
            ("home.example/203.0.113.9:51234", Some("203.0.113.9")),
            (" -, 203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.0/24", None),
            ("2001:db8::/32", None),
            ("viewer, 203.0.113.9", None),
            ("by=203.0.113.43", None),
        ] {
            let found = VisitorRules::V3.address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
            assert_eq!(is_lost_address(text), expected.is_none(), "{text}");
            assert_eq!(VisitorRules::V2.address(text), None, "{text}");
        }
        let zoned = VisitorRules::V3.address("[::ffff:203.0.113.9%12]:443");
        assert_eq!(zoned, "203.0.113.9".parse().ok());
        for text in ["", "unknown", "-", "for=unknown", "for=_hidden", "null, unknown"] {
            assert!(!is_lost_address(text), "{text}: nobody knows it, so none is lost");
        }
        assert_eq!(VisitorRules::V1.address("203.0.113.9:51234"), None);
        assert_eq!(VisitorRules::V1.address("::ffff:203.0.113.9"), "::ffff:203.0.113.9".parse().ok());
    }

    #[test]
    fn words_for_nobody_are_known_in_any_case() {
        for (value, v1, v2) in [
            ("0", true, true),
            (" NULL\u{7}", true, true),
            ("undefined", false, true),
            ("None", false, true),
            ("\\N", false, true),
            ("nil", false, true),
            ("N/A", false, true),
            ("(none)", false, true),
            ("[object Object]", false, true),
            ("", true, true),
            ("00", false, false),
            ("nobody", false, false),
            ("nilsson", false, false),
        ] {
            let is_nobody = |rules: VisitorRules| rules.known(value).is_none();
            assert_eq!(is_nobody(VisitorRules::V1), v1, "{value}");
            assert_eq!(is_nobody(VisitorRules::V2), v2, "{value}");
            assert_eq!(is_nobody(VisitorRules::V3), v2, "{value}");
        }
        let zeros = "0".repeat(38);
        for value in [
            "<nil>",
            "0.0",
            "-0",
            "False",
            "(not set)",
            "\"\"",
            "NA",
            "\u{feff}null\u{200b}",
            &zeros,
            "<NA>",
            "[null]",
            "NaT",
            "%!s(<nil>)",
            "%!s(MISSING)",
            "\"undefined\"",
            "(blank)",
            "[REDACTED]",
            "<redacted>",
            "[Filtered]",
            "***",
            "xxxx-XXXX",
            "•••",
        ] {
            assert_eq!(VisitorRules::V3.known(value), None, "{value}");
            assert_eq!(VisitorRules::V2.known(value), Some(value));
        }
        for value in [&zeros[..31], "x", "*", "xyx", "blank", "[bob]", "%!bob", "***1"] {
            assert_eq!(VisitorRules::V3.known(value), Some(value));
        }
    }

    #[test]
    fn what_stands_for_a_missing_id_is_nobody_under_version_four_and_was_somebody_before() {
        for value in [
            "[object Undefined]",
            "[object Promise]",
            "not_set",
            "NOT_AVAILABLE",
            "not%20set",
            "nullptr",
            "0.00",
            "0,00",
            "true",
            "-1",
            "9223372036854775807",
            "D41D8CD98F00B204E9800998ECF8427E",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "bnVsbA==",
            "bnVsbA",
            "dW5kZWZpbmVk",
            "MA==",
            "—",
            "???",
            "<hash>",
            "{deviceId}",
            "${device.id}",
            "{{ifa}}",
            "%DEVICE%",
            "%%DEVICE_ID%%",
            "[DEVICE_ID]",
            "__DEVICE__",
            ":deviceId",
            "00:00:00:00:00:00",
            "000000000000",
            "FF-FF-FF-FF-FF-FF",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "02:00:00:00:00:00",
            "<__main__.User object at 0x7f3a>",
            "[Ljava.lang.String;@1b28cdfa",
            "******1234",
            "j***@g***.com",
            "XXXX-XXXX-1234",
            "[REDACTED:email]",
            "undefined-undefined",
            "null:null",
            "(null)@(null)",
        ] {
            assert_eq!(VisitorRules::V4.known(value), None, "{value}");
            assert_eq!(VisitorRules::V3.known(value), Some(value));
        }
        for value in [
            "00",
            "MA",
            "bmls",
            "nobody",
            "nilsson",
            "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}",
            "<42>",
            "100%",
            "ab-12",
            "10:00:00:00:00:00",
            "fffffffffff",
            "0x1F",
            "x",
            "na-123",
            "a*b*c",
            "none@example.com",
            "redacted-fan",
        ] {
            assert_eq!(VisitorRules::V4.known(value), Some(value));
        }
    }

    #[test]
    fn what_programs_write_for_no_value_is_nobody_in_whatever_letters_or_digest() {
        for value in [
            "(not provided)",
            "(data not available)",
            "System.String[]",
            "System.Collections.Generic.List`1[System.String]",
            "Array",
            "HASH(0x55d0c8a3e2f8)",
            "Optional[null]",
            "Optional.empty",
            "b''",
            "REMOVED",
            "*removed*",
            "(Anonymised)",
            "--HIDDEN--",
            "Not Logged",
            "REDACTED_BY_GATEWAY",
            "<redacted> by proxy",
            "sha256:",
            "%REQ(AP-DEVICE-IDENTIFIER)%",
            "ZmluZ2VycHJpbnQ=",
            "null,null",
            "NULL::text",
            "NULL::character varying",
            "&lt;null&gt;",
            "&quot;undefined&quot;",
            "ｎｕｌｌ",
            "（ｎｕｌｌ）",
            "Loading...",
            "Loading…",
            "020000000000",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
            "N6YlnMDB2uKZp4Zkid/wvQ==",
        ] {
            assert_eq!(VisitorRules::V4.known(value), None, "{value}");
            assert_eq!(VisitorRules::V3.known(value), Some(value));
        }
        for value in [
            "removed-fan",
            "secretary",
            "sha256:00ff",
            "bob(by)",
            "system.admin",
            "arrays",
            "loading",
            "Optional[bob]",
            "b'bob'",
            "bob,null",
            "null::",
            "ns::null",
            "&lt;bob&gt;",
            "ｂｏｂ",
            "020000000001",
        ] {
            assert_eq!(VisitorRules::V4.known(value), Some(value));
        }
    }

    #[test]
    fn what_warehouses_and_languages_write_for_no_value_is_nobody() {
        for value in [
            "__debezium_unavailable_value",
            "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
            "::unspecified::",
            "::empty::",
            "inf",
            "-nan",
            "1.#QNAN",
            "-1.#IND",
            "1.#INF",
            "NaN.0",
            "--NONE--",
            "DBNull.Value",
            "System.DBNull",
            "NullValue.NULL_VALUE",
            "SQL_NULL",
            "@null",
            "NA_character_",
            "#N/A N/A",
            "#REF",
            "(leer)",
            "(vide)",
            "WAHR",
            "FALSCH",
            "\u{2205}",
            "nul",
        ] {
            assert_eq!(VisitorRules::V4.known(value), None, "{value}");
        }
        for value in ["system.admin", "value-1", "@bob", "-na", "1.5", "--bob--", "SQL_BOB", "character"] {
            assert_eq!(VisitorRules::V4.known(value), Some(value));
        }
    }

    #[test]
    fn an_address_of_no_viewer_is_none_under_version_four() {
        for (text, expected) in [
            ("127.0.0.1", None),
            ("127.9.9.9:80", None),
            ("::1", None),
            ("[::ffff:127.0.0.1]:80", None),
            ("255.255.255.255", None),
            ("127.0.0.1, 203.0.113.9", Some("203.0.113.9")),
            ("::ffff:203.0.113.9:51234", Some("203.0.113.9")),
            ("::FFFF:203.0.113.9", Some("203.0.113.9")),
            ("[::ffff:203.0.113.9]:443", Some("203.0.113.9")),
            ("::ffff:1:2", Some("0.1.0.2")),
            ("10.0.0.7", Some("10.0.0.7")),
        ] {
            let found = VisitorRules::V4.address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
            assert_eq!(is_lost_address(text), expected.is_none(), "{text}");
        }
        assert!(!is_lost_address("0.0.0.0") && !is_lost_address("::"), "these say that it is unknown");
        assert_eq!(VisitorRules::V3.address("127.0.0.1"), "127.0.0.1".parse().ok());
        assert_eq!(VisitorRules::V3.address("::ffff:203.0.113.9:51234"), None);
    }

    #[test]
    fn an_identifier_is_what_its_source_wrote_whatever_a_spreadsheet_put_around_it() {
        for (text, expected) in [
            ("bob", Some("bob")),
            ("bob   ", Some("bob   ")),
            ("\tbob\u{200b}", Some("\tbob\u{200b}")),
            ("=\"0012345\"", Some("0012345")),
            ("'0012345", Some("0012345")),
            ("'-a", Some("-a")),
            ("'t Gooi", Some("'t Gooi")),
            ("=\"0\"", None),
            ("1.23457E+11", None),
            ("1E+11", None),
            ("1.23457e11", None),
            ("9,99E+11", None),
            ("1,5e3", None),
            ("######", None),
            ("##", None),
            ("#", Some("#")),
            ("#1#", Some("#1#")),
            ("a,bE+11", Some("a,bE+11")),
            ("#N/A", None),
            ("#REF!", None),
            ("#VALUE!", None),
            ("#NAME?", None),
            ("#NAME", Some("#NAME")),
            ("#N/D", None),
            ("#Н/Д", None),
            ("#i/t", None),
            ("=\"#N/A\"", None),
            ("Err:502", None),
            ("Err :502", None),
            ("Err:5021", Some("Err:5021")),
            ("3e4567", Some("3e4567")),
            ("12.3e+4", Some("12.3e+4")),
            ("12345678901234567890", Some("12345678901234567890")),
        ] {
            assert_eq!(VisitorRules::V3.known(text), expected, "{text}");
            assert_eq!(VisitorRules::V2.known(text), Some(text));
        }
        assert!(is_spoilt(Property::DeviceId, "#REF!") && is_spoilt(Property::Mvpd, "=\"M\""));
        assert!(!is_spoilt(Property::MvpdUserId, "=\"1\"") && !is_spoilt(Property::Mvpd, "M"));
    }
}
