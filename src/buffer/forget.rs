//! Whom to forget, and which lines are about them.

use crate::event::Property;

/// Whom to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forget {
    /// The subscriber that this MVPD knows by this ID.
    MvpdUser { mvpd: String, mvpd_user_id: String },
    /// The visitor whom the programmer knows by this ID.
    Visitor { visitor_id: String },
}

impl Forget {
    /// The properties that must all have these values.
    pub fn criteria(&self) -> Vec<(Property, &str)> {
        match self {
            Forget::MvpdUser { mvpd, mvpd_user_id } => {
                vec![(Property::Mvpd, mvpd), (Property::MvpdUserId, mvpd_user_id)]
            }
            Forget::Visitor { visitor_id } => vec![(Property::VisitorId, visitor_id)],
        }
    }

    /// Whether a line that is no event, or not yet one, is about them. It may be broken in any way, so what looks like them
    /// is taken for them: their ID as a value anywhere, unless an MVPD is named that is another.
    pub fn concerns(&self, text: &str) -> bool {
        let criteria = self.criteria();
        let Some((_, id)) = criteria.last() else { return false };
        let mut values = Vec::new();
        let is_json = serde_json::from_str(text).map(|json| collect_values(&json, &mut values)).is_ok();
        // In JSON that is cut off, or inside of other JSON, characters stand behind backslashes; CSV doubles its quotes.
        let plain = text.replace('\\', "");
        let has = |value: &str| {
            let bare = value.replace('\\', "");
            let escaped = |unit: u16| match char::from_u32(unit.into()) {
                Some(character) if character.is_ascii() => character.to_string(),
                _ => format!("u{unit:04x}"),
            };
            let escaped: String = bare.encode_utf16().map(escaped).collect();
            values.iter().any(|found| found.trim() == value)
                || plain.contains(&format!("\"{bare}\""))
                || plain.to_lowercase().contains(&format!("\"{}\"", escaped.to_lowercase()))
                || (!is_json && (plain.contains(&bare) || plain.contains(&bare.replace('"', "\"\""))))
        };
        let names_another = criteria.len() > 1 && plain.contains("mvpd\"") && !has(criteria[0].1);
        has(id) && !names_another
    }
}

/// Every text and number in a JSON value, as text, and those of JSON inside of its texts, as bodies and wrapped lines are.
fn collect_values(json: &serde_json::Value, values: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => {
            values.push(text.clone());
            if text.trim_start().starts_with(['{', '['])
                && let Ok(inside) = serde_json::from_str(text)
            {
                collect_values(&inside, values);
            }
        }
        serde_json::Value::Number(number) => values.push(number.to_string()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_values(item, values)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect_values(field, values)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}
