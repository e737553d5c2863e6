//! JSON objects of strings and integers, written directly into a buffer.
//!
//! The claims of every token and the body of every token response are such objects, and almost none of their strings need
//! escapes. Checking a whole string first, 16 bytes at a time, and then copying it is several times faster than serializing it
//! byte by byte.

/// An object that is being written. Names must not need escapes.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    /// Appends a string.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        if is_plain(value) {
            self.quoted(value);
        } else {
            // Writing a string to memory cannot fail.
            let written = serde_json::to_writer(&mut *self.out, value);
            debug_assert!(written.is_ok());
        }
        self
    }

    /// Appends a string that needs no escapes, such as a token.
    #[must_use]
    pub fn plain(mut self, name: &'static str, value: &str) -> Self {
        debug_assert!(is_plain(value));
        self.name(name);
        self.quoted(value);
        self
    }

    /// Appends an array of strings.
    #[must_use]
    pub fn texts<'t>(mut self, name: &'static str, values: impl Iterator<Item = &'t str>) -> Self {
        self.name(name);
        // Writing strings to memory cannot fail.
        let written = serde_json::to_writer(&mut *self.out, &values.collect::<Vec<_>>());
        debug_assert!(written.is_ok());
        self
    }

    /// Appends an integer.
    #[must_use]
    pub fn number(mut self, name: &'static str, value: i64) -> Self {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    /// Appends a Boolean.
    #[must_use]
    pub fn boolean(mut self, name: &'static str, value: bool) -> Self {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// Appends members that are JSON already: an object without its braces.
    #[must_use]
    pub fn members(mut self, members: Option<&str>) -> Self {
        if let Some(members) = members {
            self.out.push(self.separator);
            self.out.extend_from_slice(members.as_bytes());
            self.separator = b',';
        }
        self
    }

    /// Ends the object, which must have at least one member.
    pub fn end(self) {
        self.out.push(b'}');
    }

    fn quoted(&mut self, value: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.separator = b',';
    }
}

/// Whether a string needs no JSON escapes. It counts instead of exiting early, so that it compiles to vector instructions.
fn is_plain(text: &str) -> bool {
    let special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    text.bytes().filter(special).count() == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    proptest! {
        #[test]
        fn output_equals_serde_json(text in any::<String>(), number in any::<i64>()) {
            let mut out = Vec::new();
            Object::begin(&mut out).text("text", &text).number("number", number).boolean("yes", true).boolean("no", false).end();
            let expected = json!({"text": text, "number": number, "yes": true, "no": false});
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
            let plain = format!(r#"{{"text":{},"number":{number},"yes":true,"no":false}}"#, serde_json::to_string(&text).unwrap());
            prop_assert_eq!(out, plain.into_bytes());
        }
    }
}
