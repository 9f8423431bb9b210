//! The wire format of ubus: byte by byte, for whatever is said, and against whatever others send.

use std::cell::RefCell;

use crate::bus::{attribute, fields, named, table};
use crate::extent::extent;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use uplinkd::control::Request;
use uplinkd::control::ubus::blob::Malformed;
use uplinkd::control::ubus::blobmsg::{self, Fields, Value as Data};
use uplinkd::control::ubus::frame::{Address, Code, Frame, Kind};
use uplinkd::control::ubus::session::{Offer, Session, UbusOutcome};
use uplinkd::engine::command::Command;

const OBJECT: u32 = 0x1234_5678;

/// What the agent says first, after the hello of ubusd.
const REGISTER: &str = "
    00060001 00000000 00000190 0200000c 75706c69 6e6b6400 06000180 82000010
    00067374 61747573 00000000 82000020 00076869 73746f72 79000000 85000010
    00057369 6e636500 00000003 8200000c 00036461 79000000 82000010 00067265 6c6f6164 00000000 82000034
    00067377 69746368 00000000 85000014 00067570 6c696e6b 00000000 00000003
    85000010 00037069 6e000000 00000007 8200000c 00046175 746f0000 82000044
    00076469 7361626c 65000000 85000014 00067570 6c696e6b 00000000 00000003
    85000010 00056472 61696e00 00000003 85000010 0005666f 72636500 00000007
    82000024 0006656e 61626c65 00000000 85000014 00067570 6c696e6b 00000000
    00000003 82000030 00056472 696c6c00 85000014 00067570 6c696e6b 00000000
    00000003 85000010 0003666f 72000000 00000003 82000024 0006666f 72676574
    00000000 85000014 00067570 6c696e6b 00000000 00000003
    82000034 0009616c 6c6f7761 6e636500 85000014 00067570 6c696e6b 00000000
    00000003 85000010 00047573 65640000 00000003";

/// What it says then: an object without a name, to hear of netifd.
const EAR: &str = "00060002 00000000 00000004";

/// `ubus call uplinkd switch '{"uplink":"lte"}'` by root, as ubusd passes it on.
const SWITCH: &str = "
    00050007 00c0ffee 00000048 03000008 12345678 0400000b 73776974 63680000
    0c000009 726f6f74 00000000 0d000009 726f6f74 00000000 07000018 83000014
    00067570 6c696e6b 00000000 6c746500";

/// The answer `{"done":"yes"}` to that, and its end.
const DONE: &str = "
    00020007 00c0ffee 00000020 03000008 12345678 07000014 83000010 0004646f
    6e650000 79657300 00010007 00c0ffee 00000014 01000008 00000000 03000008
    12345678";

/// The event `uplinkd.switch` with [`telling`], and the notification of the same.
const EVENT: &str = "
    00050003 00000001 000000a8 03000008 00000001 04000009 73656e64 00000000
    07000090 8300001b 00026964 00000000 75706c69 6e6b642e 73776974 63680000
    82000070 00046461 74610000 83000013 00056576 656e7400 73776974 63680000
    81000024 00016c00 8500000c 00000000 00000007 84000010 00000000 00000100
    00000000 8200002c 00016e00 88000010 00016600 3fe00000 00000000 87000009
    00017400 01000000 80000008 00017a00 000a0004 12345678 00000088 03000008
    12345678 0400000b 73776974 63680000 0a000005 01000000 07000068 83000013
    00056576 656e7400 73776974 63680000 81000024 00016c00 8500000c 00000000
    00000007 84000010 00000000 00000100 00000000 8200002c 00016e00 88000010
    00016600 3fe00000 00000000 87000009 00017400 01000000 80000008 00017a00";

/// One of each type.
fn telling() -> Value {
    json!({"event": "switch", "n": {"t": true, "z": null, "f": 0.5}, "l": [7, 1_099_511_627_776_u64]})
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("a byte")
    };
    digits.chunks(2).map(byte).collect()
}

/// The frame that bytes are, or why they are none.
fn read(mut bytes: &[u8]) -> std::io::Result<Frame> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime
        .expect("a runtime")
        .block_on(Frame::read(&mut bytes))
}

/// A conversation whose object ubusd has taken.
fn registered() -> Session {
    let mut session = Session::default();
    session.register(Offer::Uplinkd).expect("short");
    assert_eq!(session.take_outgoing(), bytes(REGISTER));
    let address = Address {
        sequence: 1,
        peer: 0,
    };
    for (kind, body) in [
        (Kind::Data, attribute(3, &OBJECT.to_be_bytes())),
        (Kind::Status, attribute(1, &[0; 4])),
    ] {
        let kind = Some(kind);
        let wish = session
            .handle(&Frame {
                kind,
                address,
                body,
            })
            .expect("well");
        let is_last = kind == Some(Kind::Status);
        assert_eq!(wish, is_last.then_some(UbusOutcome::Registered));
    }
    assert_eq!(session.take_outgoing(), bytes(EAR));
    session
}

#[test]
fn a_call_and_its_answer_have_these_bytes() {
    let mut session = registered();
    let frame = read(&bytes(SWITCH)).expect("a frame");
    let Some(UbusOutcome::Ask(invocation)) = session.handle(&frame).expect("well") else {
        panic!("no call");
    };
    let lte = "lte".parse().expect("a name");
    assert_eq!(invocation.request, Request::from(Command::switch(lte)));
    let response = blobmsg::encode(&json!({"done": "yes"})).expect("an object");
    session
        .answer(&invocation, &response, Code::Ok)
        .expect("short");
    assert_eq!(session.take_outgoing(), bytes(DONE));
}

#[test]
fn an_event_and_its_notification_have_these_bytes() {
    let mut session = registered();
    let data = blobmsg::encode(&telling()).expect("an object");
    session.tell("switch", &data).expect("short");
    assert_eq!(session.take_outgoing(), bytes(EVENT));
}

#[test]
fn what_a_message_is_may_not_be_longer_than_ubusd_takes() {
    let address = Address::default();
    let longest = vec![0; (1 << 20) - 4];
    let frame = Frame::encode(Kind::Data, address, &longest).expect("just so");
    assert_eq!(read(&frame).expect("a frame").body, longest);
    let longer = vec![0; (1 << 20) - 3];
    assert!(Frame::encode(Kind::Data, address, &longer).is_err());
}

#[test]
fn a_frame_that_is_cut_off_is_none_wherever_that_is() {
    let frame = bytes(SWITCH);
    for length in 0..frame.len() {
        assert!(read(&frame[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_text_with_a_zero_in_it_is_whole_for_every_reader() {
    let data = blobmsg::encode(&json!({"reason": "a\0b"})).expect("an object");
    assert_eq!(table(&data), json!({"reason": "a b"}));
}

/// All that a reader can find, however deep; the stack is for a thousand levels at least.
fn walk(fields: Fields<'_>, depth: usize) -> Result<usize, Malformed> {
    let mut count = 0;
    for field in fields {
        let (_, value) = field?;
        count += match value {
            Data::List(inner) | Data::Table(inner) if depth < 1_000 => walk(inner, depth + 1)?,
            Data::List(_) | Data::Table(_) => 0,
            Data::Nothing | Data::Text(_) | Data::Truth(_) | Data::Integer(_) | Data::Real(_) => 1,
        };
    }
    Ok(count)
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON", |f| f.is_finite())
            .prop_map(Value::from),
        "[^\\x00]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let entries = prop::collection::vec(("[^\\x00]{1,9}", value), 0..8);
    entries.prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #[test]
    fn whatever_json_says_is_what_others_read(said in object(any_json())) {
        let json = Value::Object(said);
        let data = blobmsg::encode(&json).expect("an object");
        prop_assert_eq!(table(&data), json);
    }

    #[test]
    fn whatever_others_say_is_what_we_read(said in object(any_json())) {
        let data = fields(&Value::Object(said.clone()));
        let names: Vec<_> = Fields::of(&data).map(|field| field.expect("well").0.to_owned()).collect();
        prop_assert_eq!(names, said.keys().cloned().collect::<Vec<_>>());
        prop_assert!(walk(Fields::of(&data), 0).is_ok());
    }
}

/// Bytes that are near enough to a message to get far: any, or a good one with some of it changed.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        Just(bytes(SWITCH)),
        Just(bytes(DONE)),
        Just(bytes(EVENT)),
        object(any_json()).prop_map(|said| {
            let mut body = attribute(3, &OBJECT.to_be_bytes());
            body.extend(attribute(4, b"switch\0"));
            body.extend(attribute(7, &named(3, "uplink", &fields(&said.into()))));
            Frame::encode(Kind::Invoke, Address::default(), &body).expect("short")
        }),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let changed = (good, edits).prop_map(|(mut bytes, edits)| {
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    });
    prop_oneof![changed, prop::collection::vec(any::<u8>(), 0..256)]
}

/// Nothing that comes makes it panic, and what it leads to stays small.
fn bear(cases: u32) {
    let config = Config {
        cases,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let session = RefCell::new(registered());
    TestRunner::new(config)
        .run(&hostile(), |bytes| {
            let _ = walk(Fields::of(&bytes), 0);
            if let Ok(frame) = runtime.block_on(Frame::read(&mut bytes.as_slice())) {
                prop_assert!(frame.body.len() < bytes.len());
                drop(session.borrow_mut().handle(&frame));
            }
            prop_assert!(session.borrow_mut().take_outgoing().len() < 100);
            Ok(())
        })
        .expect("it bears everything");
}

#[test]
fn random_bytes_are_borne() {
    bear(extent(2_000, 1_000_000));
}
