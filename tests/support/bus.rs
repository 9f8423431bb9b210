//! A stand-in for ubusd, for one client at a time: it says hello, takes objects, calls them, and
//! keeps what it is told. Its reading and writing of the wire is its own, not that of the crate.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// What ubusd says to an object whose path is taken.
const INVALID_ARGUMENT: u32 = 2;
/// Where objects that are registered here begin.
const FIRST_OBJECT: u32 = 0x1234_5678;
/// The object without a name by which a client hears of others.
const EAR: u32 = 0x0000_0ea4;
/// `network.interface`
const NETIFD: u32 = 0x0ee7_1fd0;
const NOT_FOUND: u32 = 4;

/// The socket that clients find.
pub(crate) struct Bus {
    listener: UnixListener,
    path: PathBuf,
}

impl Bus {
    pub(crate) fn listen(path: &Path) -> Self {
        drop(fs::remove_file(path));
        Self {
            listener: UnixListener::bind(path).expect("a socket"),
            path: path.to_owned(),
        }
    }

    /// Waits for a client, and takes its object.
    pub(crate) fn accept(&self) -> Client {
        let mut client = self.greet();
        client.take_object();
        client
    }

    /// Waits for a client, and says hello.
    pub(crate) fn greet(&self) -> Client {
        let (stream, _) = self.listener.accept().expect("a client");
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).expect("a time limit");
        let mut client = Client {
            stream,
            objects: Vec::new(),
            netifd: None,
            has_mwan3: false,
            told: VecDeque::new(),
            sequence: 0,
        };
        client.send(0, (0, 0x0abc_def0), &[]);
        client
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// An object that a client registered.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) id: u32,
    pub(crate) path: String,
    pub(crate) signature: Value,
}

/// What a client told everybody: an event, or a notification.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Event(String, Value),
    Notice(String, Value),
    /// What netifd is to do.
    Order(String, Value),
}

/// A frame: its type, its number and peer, and its attributes by their numbers.
struct Frame {
    kind: u8,
    address: (u16, u32),
    attributes: Vec<(u8, Vec<u8>)>,
}

impl Frame {
    fn get(&self, id: u8) -> Option<&[u8]> {
        let mut found = self.attributes.iter().filter(|(known, _)| *known == id);
        found.next().map(|(_, payload)| payload.as_slice())
    }

    fn text(&self, id: u8) -> String {
        let bytes = self.get(id).expect("a text");
        String::from_utf8(bytes[..bytes.len() - 1].to_vec()).expect("a text")
    }
}

/// One client.
pub(crate) struct Client {
    stream: UnixStream,
    pub(crate) objects: Vec<Object>,
    /// What netifd answers to `dump`, if it is there.
    pub(crate) netifd: Option<Value>,
    /// Another program has the object of mwan3.
    pub(crate) has_mwan3: bool,
    told: VecDeque<Told>,
    sequence: u16,
}

impl Client {
    fn take_object(&mut self) {
        let frame = self.read();
        assert_eq!(frame.kind, 6, "an object is added");
        self.take(&frame);
    }

    fn take(&mut self, frame: &Frame) {
        let id = FIRST_OBJECT + u32::try_from(self.objects.len()).expect("few");
        let number = attribute(3, &id.to_be_bytes());
        self.send(2, frame.address, &number);
        self.send(1, frame.address, &attribute(1, &[0; 4]));
        self.objects.push(Object {
            id,
            path: frame.text(2),
            signature: table(frame.get(6).expect("a signature")),
        });
    }

    /// Refuses to take the object.
    pub(crate) fn refuse_object(&mut self, status: u32) {
        let frame = self.read();
        assert_eq!(frame.kind, 6, "an object is added");
        self.send(1, frame.address, &attribute(1, &status.to_be_bytes()));
    }

    /// Calls a method of the first object: how that ended, and what it said.
    pub(crate) fn call(&mut self, method: &str, data: &Value) -> (u32, Option<Value>) {
        self.call_with(method, &fields(data))
    }

    /// The same with any bytes as the data.
    pub(crate) fn call_with(&mut self, method: &str, data: &[u8]) -> (u32, Option<Value>) {
        self.call_object(self.objects[0].id, method, data)
    }

    /// The same of any object.
    pub(crate) fn call_object(
        &mut self,
        object: u32,
        method: &str,
        data: &[u8],
    ) -> (u32, Option<Value>) {
        let asked = self.invoke(object, method, &attribute(7, data));
        self.answer(asked)
    }

    /// Waits for the end of a call: how that ended, and what it said.
    pub(crate) fn answer(&mut self, asked: (u16, u32)) -> (u32, Option<Value>) {
        let [answer] = self.answers([asked]);
        answer
    }

    /// The same of calls that end in any order.
    pub(crate) fn answers<const N: usize>(
        &mut self,
        asked: [(u16, u32); N],
    ) -> [(u32, Option<Value>); N] {
        let mut said = [const { None }; N];
        let mut ended = [None; N];
        while ended.contains(&None) {
            let frame = self.next_frame();
            let call = asked.iter().position(|call| *call == frame.address);
            match (frame.kind, call) {
                (2, Some(call)) => said[call] = Some(table(frame.get(7).expect("data"))),
                (1, Some(call)) => {
                    let status = frame.get(1).expect("a status").try_into();
                    ended[call] = Some(u32::from_be_bytes(status.expect("a number")));
                }
                (kind, _) => panic!("a frame of type {kind}"),
            }
        }
        std::array::from_fn(|call| (ended[call].unwrap_or_default(), said[call].take()))
    }

    /// Begins a call, with these attributes beside the object and the method.
    pub(crate) fn invoke(&mut self, object: u32, method: &str, more: &[u8]) -> (u16, u32) {
        self.sequence += 1;
        let address = (self.sequence, 0x00c0_ffee);
        self.raw(&frame(5, address, &invocation(object, method, more)));
        address
    }

    /// Begins so many calls at once.
    pub(crate) fn flood(&mut self, method: &str, count: u16) {
        let body = invocation(self.objects[0].id, method, &attribute(7, &[]));
        let frames = (0..count).flat_map(|number| frame(5, (number, 0x00c0_ffee), &body));
        let frames: Vec<u8> = frames.collect();
        self.raw(&frames);
    }

    /// Waits until a call has ended, any of them.
    pub(crate) fn end_of_call(&mut self) {
        while self.next_frame().kind != 1 {}
    }

    /// What it tells next.
    pub(crate) fn told(&mut self) -> Told {
        while self.told.is_empty() {
            let frame = self.read();
            self.keep(&frame);
        }
        self.told.pop_front().expect("something")
    }

    /// The next frame that is neither an event nor a notification.
    fn next_frame(&mut self) -> Frame {
        loop {
            let frame = self.read();
            if !self.keep(&frame) {
                return frame;
            }
        }
    }

    fn keep(&mut self, frame: &Frame) -> bool {
        let number = |id| Some(u32::from_be_bytes(frame.get(id)?.try_into().ok()?));
        match frame.kind {
            6 if frame.get(2).is_some() && self.has_mwan3 => {
                self.done(frame, INVALID_ARGUMENT, &[])
            }
            6 if frame.get(2).is_some() => {
                self.take(frame);
                true
            }
            // An ear, a look for netifd, a subscription to it, and a wish to hear of its coming.
            6 => self.done(frame, 0, &attribute(3, &EAR.to_be_bytes())),
            4 => {
                assert_eq!(frame.text(2), "network.interface");
                let status = if self.netifd.is_some() { 0 } else { NOT_FOUND };
                let found = attribute(3, &NETIFD.to_be_bytes());
                self.done(frame, status, if status == 0 { &found } else { &[] })
            }
            8 => {
                assert_eq!((number(3), number(8)), (Some(EAR), Some(NETIFD)));
                self.done(frame, 0, &[])
            }
            5 if frame.text(4) == "register" => {
                let expected = json!({"object": EAR, "pattern": "ubus.object.add"});
                assert_eq!(table(frame.get(7).expect("data")), expected);
                self.done(frame, 0, &[])
            }
            5 if frame.address.1 == NETIFD && frame.text(4) == "dump" => {
                let dump = fields(self.netifd.as_ref().expect("netifd"));
                let mut answer = attribute(3, &NETIFD.to_be_bytes());
                answer.extend(attribute(7, &dump));
                self.done(frame, 0, &answer)
            }
            5 if frame.address.1 == NETIFD => {
                let data = table(frame.get(7).expect("data"));
                self.told.push_back(Told::Order(frame.text(4), data));
                self.done(frame, 0, &[])
            }
            5 => {
                let Value::Object(mut sent) = table(frame.get(7).expect("data")) else {
                    panic!("no table");
                };
                assert_eq!((frame.address.1, frame.text(4).as_str()), (1, "send"));
                let name = sent["id"].as_str().expect("a name").to_owned();
                let data = sent.remove("data").expect("data");
                self.told.push_back(Told::Event(name, data));
                self.send(1, frame.address, &attribute(1, &[0; 4]));
                true
            }
            10 => {
                assert_eq!(frame.get(10), Some(&[1][..]), "no answer is wanted");
                let data = table(frame.get(7).expect("data"));
                self.told.push_back(Told::Notice(frame.text(4), data));
                true
            }
            _ => false,
        }
    }

    /// Answers a request of the client.
    fn done(&mut self, frame: &Frame, status: u32, data: &[u8]) -> bool {
        if !data.is_empty() {
            self.send(2, frame.address, data);
        }
        let status = attribute(1, &status.to_be_bytes());
        self.send(1, frame.address, &status);
        true
    }

    /// netifd comes, or says something else, and the client is told that there is news.
    pub(crate) fn netifd_says(&mut self, dump: Value) {
        let method = if self.netifd.is_some() {
            "interface.update"
        } else {
            "ubus.object.add"
        };
        self.netifd = Some(dump);
        let path = json!({"path": "network.interface"});
        let mut more = attribute(10, &[1]);
        more.extend(attribute(7, &fields(&path)));
        self.invoke(EAR, method, &more);
    }

    /// netifd leaves.
    pub(crate) fn netifd_goes(&mut self) {
        self.netifd = None;
        let mut body = attribute(3, &EAR.to_be_bytes());
        body.extend(attribute(8, &NETIFD.to_be_bytes()));
        self.send(9, (0, 0), &body);
    }

    pub(crate) fn send(&mut self, kind: u8, address: (u16, u32), body: &[u8]) {
        self.raw(&frame(kind, address, body));
    }

    /// Sends any bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a client");
    }

    fn read(&mut self) -> Frame {
        let mut head = [0; 12];
        self.stream.read_exact(&mut head).expect("a frame");
        let [version, kind, s0, s1, p0, p1, p2, p3, _, l1, l2, l3] = head;
        assert_eq!(version, 0);
        let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).expect("a whole frame");
        Frame {
            kind,
            address: (
                u16::from_be_bytes([s0, s1]),
                u32::from_be_bytes([p0, p1, p2, p3]),
            ),
            attributes: attributes(&body),
        }
    }

    /// The client has left.
    pub(crate) fn has_left(&mut self) -> bool {
        match self.stream.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            // It had not read everything.
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

fn frame(kind: u8, (sequence, peer): (u16, u32), body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend(sequence.to_be_bytes());
    frame.extend(peer.to_be_bytes());
    frame.extend(attribute(0, body));
    frame
}

fn invocation(object: u32, method: &str, more: &[u8]) -> Vec<u8> {
    let mut body = attribute(3, &object.to_be_bytes());
    body.extend(attribute(4, format!("{method}\0").as_bytes()));
    body.extend(more);
    body
}

/// One attribute with its padding.
pub(crate) fn attribute(id: u8, payload: &[u8]) -> Vec<u8> {
    sized(u32::from(id) << 24, payload)
}

fn sized(word: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).expect("short");
    let mut bytes = (word | length).to_be_bytes().to_vec();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One value of data with its name.
pub(crate) fn named(kind: u8, name: &str, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(name.len()).expect("short");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(payload);
    sized(1 << 31 | u32::from(kind) << 24, &bytes)
}

/// The fields of a JSON object as data.
pub(crate) fn fields(object: &Value) -> Vec<u8> {
    let object = object.as_object().expect("an object");
    object
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

fn field(name: &str, value: &Value) -> Vec<u8> {
    match value {
        Value::Null => named(0, name, &[]),
        Value::Bool(truth) => named(7, name, &[u8::from(*truth)]),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => match i32::try_from(whole) {
                Ok(whole) => named(5, name, &whole.to_be_bytes()),
                Err(_) => named(4, name, &whole.to_be_bytes()),
            },
            None => named(8, name, &number.as_f64().expect("a number").to_be_bytes()),
        },
        Value::String(text) => named(3, name, format!("{text}\0").as_bytes()),
        Value::Array(items) => {
            let items: Vec<u8> = items.iter().flat_map(|item| field("", item)).collect();
            named(1, name, &items)
        }
        Value::Object(_) => named(2, name, &fields(value)),
    }
}

fn attributes(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let word = u32::from_be_bytes(bytes[..4].try_into().expect("a word"));
        let length = (word & 0x00ff_ffff) as usize;
        found.push(((word >> 24 & 0x7f) as u8, bytes[4..length].to_vec()));
        bytes = &bytes[length.next_multiple_of(4)..];
    }
    found
}

/// Data as a JSON object.
pub(crate) fn table(bytes: &[u8]) -> Value {
    let fields = attributes(bytes).into_iter();
    Value::Object(
        fields
            .map(|(kind, field)| value(kind, &field))
            .collect::<Map<_, _>>(),
    )
}

fn value(kind: u8, field: &[u8]) -> (String, Value) {
    let length = usize::from(u16::from_be_bytes([field[0], field[1]]));
    let name = String::from_utf8(field[2..2 + length].to_vec()).expect("a name");
    assert_eq!(field[2 + length], 0, "the end of a name");
    let payload = &field[(2 + length + 1).next_multiple_of(4)..];
    let value = match kind {
        0 => Value::Null,
        1 => {
            let items = attributes(payload).into_iter();
            items.map(|(kind, item)| value(kind, &item).1).collect()
        }
        2 => table(payload),
        3 => {
            let (end, text) = payload.split_last().expect("an end");
            assert_eq!(*end, 0);
            json!(String::from_utf8(text.to_vec()).expect("a text"))
        }
        4 => json!(i64::from_be_bytes(payload.try_into().expect("8 bytes"))),
        5 => json!(i32::from_be_bytes(payload.try_into().expect("4 bytes"))),
        7 => json!(payload != [0]),
        8 => json!(f64::from_be_bytes(payload.try_into().expect("8 bytes"))),
        other => panic!("type {other}"),
    };
    (name, value)
}
