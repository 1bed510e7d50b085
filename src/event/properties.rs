//! The texts of an event, in one allocation.

use std::fmt;

use super::Property;

/// The properties of one event. A present value is never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties {
    /// All values, perhaps with other text between them. One allocation, not thirty, matters for millions of events.
    text: String,
    /// The start and the end of each value. They are equal if the value is absent.
    spans: [(u32, u32); Property::COUNT],
}

impl Default for Properties {
    fn default() -> Properties {
        // Enough for most events, so that the text does not grow in small steps.
        Properties::within(String::with_capacity(1_024))
    }
}

impl Properties {
    /// No properties yet; [`Properties::place`] says which parts of this text are values.
    pub(super) fn within(text: String) -> Properties {
        Properties { text, spans: [(0, 0); Property::COUNT] }
    }

    pub(super) fn place(&mut self, property: Property, start: usize, end: usize) {
        self.spans[property as usize] = (start as u32, end as u32);
    }

    pub fn get(&self, property: Property) -> Option<&str> {
        let (start, end) = self.spans[property as usize];
        (start < end).then(|| &self.text[start as usize..end as usize])
    }

    /// Sets a property; an empty value makes it absent.
    pub fn set(&mut self, property: Property, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.place(property, start, self.text.len());
    }

    /// The numbers of the present properties.
    pub(super) fn present(&self) -> impl Iterator<Item = usize> {
        self.spans.iter().enumerate().filter(|(_, (start, end))| start < end).map(|(property, _)| property)
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
