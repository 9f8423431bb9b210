//! Attributes: what messages of ubus are made of.
//!
//! An attribute is a word, big-endian, and what it holds: in the word a flag (it has a name), seven
//! bits of an identity, and 24 of the length with the word itself. The next one begins at a multiple
//! of four. What an attribute nests is more of them, read only when it is asked for: nothing here
//! recurses over what others sent.

/// Bytes that are no attributes, or not those that were expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub struct Malformed(pub(super) &'static str);

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// What it is, in a message; its type, in data.
    pub id: u8,
    /// It begins with a name.
    pub has_name: bool,
    /// What it holds, without the padding.
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A number of 32 bits.
    pub fn number(self) -> Result<u32, Malformed> {
        let word = self.payload.try_into();
        word.map(u32::from_be_bytes)
            .map_err(|_| Malformed("a number has not its four bytes"))
    }

    /// A text, which ends with a zero.
    pub fn text(self) -> Result<&'a str, Malformed> {
        text(self.payload)
    }

    /// A truth value of one byte.
    pub fn truth(self) -> Result<bool, Malformed> {
        match self.payload {
            [byte] => Ok(*byte != 0),
            _ => Err(Malformed("a truth value has not its one byte")),
        }
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    let (end, text) = bytes.split_last().ok_or(Malformed("a text has no end"))?;
    let is_whole = *end == 0 && !text.contains(&0);
    let text = std::str::from_utf8(text).ok().filter(|_| is_whole);
    text.ok_or(Malformed("a text is none"))
}

/// Attributes, one after the other; ends with the first that is malformed.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        Some(first(bytes).map(|(attribute, rest)| {
            self.0 = rest;
            attribute
        }))
    }
}

fn first(bytes: &[u8]) -> Result<(Attribute<'_>, &[u8]), Malformed> {
    let (word, _) = (bytes.split_first_chunk()).ok_or(Malformed("an attribute is cut off"))?;
    let word = u32::from_be_bytes(*word);
    let length = length_in(word);
    let payload =
        (bytes.get(HEAD..length)).ok_or(Malformed("an attribute lies about its length"))?;
    let attribute = Attribute {
        id: u8::try_from(word >> 24 & 0x7f).unwrap_or(u8::MAX),
        has_name: word & HAS_NAME != 0,
        payload,
    };
    // The last one may come without its padding.
    let rest = bytes.get(padded(length)..).unwrap_or_default();
    Ok((attribute, rest))
}

/// The length in the word of an attribute: of all of it but the padding.
pub(super) fn length_in(word: u32) -> usize {
    usize::try_from(word & LENGTH).unwrap_or(usize::MAX)
}

pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(HEAD)
}

/// Writes attributes.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number of 32 bits.
    pub fn number(&mut self, id: u8, value: u32) {
        self.bytes(id, &value.to_be_bytes());
    }

    /// A text.
    pub fn text(&mut self, id: u8, value: &str) {
        self.nest(id, |inner| inner.raw_text(value));
    }

    /// Any bytes.
    pub fn bytes(&mut self, id: u8, value: &[u8]) {
        self.nest(id, |inner| inner.0.extend_from_slice(value));
    }

    /// What `fill` writes, as one attribute.
    pub fn nest<T>(&mut self, id: u8, fill: impl FnOnce(&mut Self) -> T) -> T {
        self.sized(u32::from(id) << 24, fill)
    }

    /// The same with a name before it, as data has it.
    pub fn named<T>(&mut self, id: u8, name: &str, fill: impl FnOnce(&mut Self) -> T) -> T {
        self.sized(HAS_NAME | u32::from(id) << 24, |inner| {
            let (name, length) = name_and_length(name);
            inner.0.extend_from_slice(&length.to_be_bytes());
            inner.raw_text(name);
            inner.pad();
            fill(inner)
        })
    }

    /// A text and its end. Readers take a zero for the end.
    pub(super) fn raw_text(&mut self, text: &str) {
        let printable = |byte| if byte == 0 { b' ' } else { byte };
        self.0.extend(text.bytes().map(printable));
        self.0.push(0);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn sized<T>(&mut self, word: u32, fill: impl FnOnce(&mut Self) -> T) -> T {
        let start = self.0.len();
        self.raw(&[0; HEAD]);
        let result = fill(self);
        // Of what is too long for its length nothing is ever sent: a message is far shorter.
        let length = u32::try_from(self.0.len() - start).unwrap_or(LENGTH);
        let word = word | length & LENGTH;
        self.0[start..start + HEAD].copy_from_slice(&word.to_be_bytes());
        self.pad();
        result
    }

    fn pad(&mut self) {
        self.0.resize(padded(self.0.len()), 0);
    }
}

/// A name has 16 bits for its length; none of ours comes near.
fn name_and_length(name: &str) -> (&str, u16) {
    u16::try_from(name.len()).map_or(("", 0), |length| (name, length))
}

/// The length of the word that an attribute begins with.
pub(super) const HEAD: usize = 4;
const HAS_NAME: u32 = 0x8000_0000;
const LENGTH: u32 = 0x00ff_ffff;
