//! The texts of an event: up to 38 values in one allocation.

use std::fmt;

use super::Property;

/// The properties of one event. A present value is never empty.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// All values, one after the other. One allocation instead of thirty matters for millions of events.
    text: String,
    /// The start and the end of each value. They are equal if the value is absent.
    spans: Spans,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Spans([(u32, u32); Property::COUNT]);

impl Default for Spans {
    fn default() -> Spans {
        Spans([(0, 0); Property::COUNT])
    }
}

impl Properties {
    /// The value of a property, never empty.
    pub fn get(&self, property: Property) -> Option<&str> {
        let (start, end) = self.spans.0[property as usize];
        (start < end).then(|| &self.text[start as usize..end as usize])
    }

    /// Sets a property; an empty value makes it absent.
    pub fn set(&mut self, property: Property, value: &str) {
        let start = self.text.len() as u32;
        self.text.push_str(value);
        self.spans.0[property as usize] = (start, self.text.len() as u32);
    }

    /// The present properties, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (Property, &str)> {
        Property::ALL.into_iter().filter_map(|property| Some((property, self.get(property)?)))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter().map(|(property, value)| (property.name(), value))).finish()
    }
}
