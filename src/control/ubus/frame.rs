//! Frames: a head of eight bytes, and an attribute whose payload is the message.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::blob::{Attributes, HEAD, Malformed, Writer, length_in, padded};

/// What a frame is about (`enum ubus_msg_type` in ubus's `ubusmsg.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as ubus names them")]
pub enum Kind {
    Hello = 0,
    Status = 1,
    Data = 2,
    Lookup = 4,
    Invoke = 5,
    AddObject = 6,
    Subscribe = 8,
    Unsubscribe = 9,
    Notify = 10,
}

const KINDS: [Kind; 9] = [
    Kind::Hello,
    Kind::Status,
    Kind::Data,
    Kind::Lookup,
    Kind::Invoke,
    Kind::AddObject,
    Kind::Subscribe,
    Kind::Unsubscribe,
    Kind::Notify,
];

/// The attributes of a message (`enum ubus_msg_attr`).
pub mod attribute {
    #![expect(missing_docs, reason = "named as ubus names them")]
    pub const STATUS: u8 = 1;
    pub const OBJECT_PATH: u8 = 2;
    pub const OBJECT: u8 = 3;
    pub const METHOD: u8 = 4;
    pub const SIGNATURE: u8 = 6;
    pub const DATA: u8 = 7;
    pub const TARGET: u8 = 8;
    pub const NO_REPLY: u8 = 10;
}

/// How a call ended (`enum ubus_msg_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as ubus names them")]
pub enum Code {
    Ok = 0,
    InvalidArgument = 2,
    MethodNotFound = 3,
    NotFound = 4,
    UnknownError = 9,
}

/// The peer that a frame answers or concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The number of a request; its answers carry it as well.
    pub sequence: u16,
    /// The other client, or the object.
    pub peer: u32,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is about; nothing that we know of, if it is none.
    pub kind: Option<Kind>,
    /// The peer that it answers or concerns.
    pub address: Address,
    /// The attributes of the message.
    pub body: Vec<u8>,
}

impl Frame {
    /// As it goes over the wire.
    ///
    /// # Errors
    /// If it would be longer than ubusd takes, which ends the conversation.
    pub fn encode(kind: Kind, address: Address, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        if padded(HEAD + body.len()) > MOST {
            return Err(Malformed("longer than a message may be"));
        }
        let mut head = vec![VERSION, kind as u8];
        head.extend(address.sequence.to_be_bytes());
        head.extend(address.peer.to_be_bytes());
        let mut writer = Writer::default();
        writer.raw(&head);
        writer.bytes(0, body);
        Ok(writer.into_bytes())
    }

    /// Reads the next one. Not to be cancelled: what was read of it would be lost.
    ///
    /// # Errors
    /// If the other end leaves, or does not speak ubus.
    pub async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut head = [0; FRAME_HEAD];
        reader.read_exact(&mut head).await?;
        let Head {
            kind,
            address,
            length,
        } = Head::parse(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut body = Vec::new();
        // Memory is taken as bytes come, not as they are promised.
        (reader.take(length as u64).read_to_end(&mut body)).await?;
        if body.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self {
            kind,
            address,
            body,
        })
    }
}

/// What a frame begins with.
struct Head {
    kind: Option<Kind>,
    address: Address,
    /// Of the body.
    length: usize,
}

impl Head {
    fn parse(bytes: [u8; FRAME_HEAD]) -> Result<Self, Malformed> {
        let [version, kind, s0, s1, p0, p1, p2, p3, l0, l1, l2, l3] = bytes;
        let length = length_in(u32::from_be_bytes([l0, l1, l2, l3]));
        if version != VERSION {
            return Err(Malformed("another version of ubus"));
        }
        if padded(length) > MOST {
            return Err(Malformed("longer than a message may be"));
        }
        let length = length.checked_sub(HEAD);
        Ok(Self {
            kind: KINDS.into_iter().find(|known| *known as u8 == kind),
            address: Address {
                sequence: u16::from_be_bytes([s0, s1]),
                peer: u32::from_be_bytes([p0, p1, p2, p3]),
            },
            length: length.ok_or(Malformed("shorter than a message can be"))?,
        })
    }
}

/// The attributes of a message that we look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// How a request of ours ended.
    pub status: Option<u32>,
    /// The object that it is about.
    pub object: Option<u32>,
    /// Where an object is found.
    pub path: Option<&'a str>,
    /// What is to be done.
    pub method: Option<&'a str>,
    /// With what.
    pub data: Option<&'a [u8]>,
    /// The caller does not wait for the end.
    pub no_reply: bool,
}

impl<'a> Message<'a> {
    /// Reads the body of a frame; of several attributes that are the same the last counts, as it
    /// does for ubusd.
    ///
    /// # Errors
    /// If it is malformed; the attributes before that are there.
    pub fn parse(body: &'a [u8]) -> (Self, Result<(), Malformed>) {
        let mut message = Self::default();
        let outcome = message.take(body);
        (message, outcome)
    }

    fn take(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        for attribute in Attributes(body) {
            let attribute = attribute?;
            match attribute.id {
                attribute::STATUS => self.status = Some(attribute.number()?),
                attribute::OBJECT => self.object = Some(attribute.number()?),
                attribute::OBJECT_PATH => self.path = Some(attribute.text()?),
                attribute::METHOD => self.method = Some(attribute.text()?),
                attribute::DATA => self.data = Some(attribute.payload),
                attribute::NO_REPLY => self.no_reply = attribute.truth()?,
                _ => {}
            }
        }
        Ok(())
    }
}

const VERSION: u8 = 0;
const FRAME_HEAD: usize = 8 + HEAD;
/// `UBUS_MAX_MSGLEN`; ubusd drops a client that sends more.
pub(super) const MOST: usize = 1 << 20;
