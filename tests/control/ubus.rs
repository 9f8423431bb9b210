//! The object on ubus against a stand-in for ubusd, and the wire format byte by byte.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::{Agent, event};
use crate::bare_exchange::{MOST, times_bare_exchange};
use crate::bus::{Bus, Client, Told, attribute, fields, named};
use serde_json::{Value, json};
use tempfile::TempDir;
use uplinkd::control::client::Client as Socket;
use uplinkd::control::ubus::netifd::{Networks, Order, Way};
use uplinkd::control::{Request, Response};
use uplinkd::engine::settings::Policy;
use uplinkd::engine::status::{FlowMemoryStatus, RoutesState, SelectionMode, Status};

const INVALID_ARGUMENT: u32 = 2;
const METHOD_NOT_FOUND: u32 = 3;
const NOT_FOUND: u32 = 4;
const UNKNOWN_ERROR: u32 = 9;

pub(crate) fn status() -> Status {
    Status {
        version: "0".to_owned(),
        mode: SelectionMode::Auto,
        policy: Policy::Failover,
        new_connections: Vec::new(),
        active: Vec::new(),
        since: None,
        uplinks: Vec::new(),
        groups: Vec::new(),
        choices: uplinkd::engine::status::Choices::default(),
        routes: RoutesState::InPlace,
        flow_memory: FlowMemoryStatus::default(),
        last_switch: None,
        drill: uplinkd::engine::status::DrillStatus::default(),
        rules: Vec::new(),
    }
}

/// A bus and an agent on it.
struct Site {
    directory: TempDir,
    agent: Agent,
    bus: Bus,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ubus.sock");
        let bus = Bus::listen(&path);
        Self {
            agent: Agent::start(status(), Some(path)),
            directory,
            bus,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ubus.sock")
    }

    fn is_well(&self) -> bool {
        let mut socket = Socket::connect(&self.agent.path()).expect("a connection");
        matches!(socket.request(&Request::Status), Ok(Response::Status(_)))
    }
}

fn is_answered(client: &mut Client) -> bool {
    client.call("status", &json!({})).0 == 0
}

#[test]
fn the_object_has_the_methods_that_its_acl_names_and_the_arguments_of_the_command_line() {
    let site = Site::new();
    let client = site.bus.accept();
    let [object] = client.objects.as_slice() else {
        panic!("{:?}", client.objects);
    };
    assert_eq!(object.path, "uplinkd");
    let acl = include_str!("../../openwrt/uplinkd/files/acl.json");
    let acl: Value = serde_json::from_str(acl).expect("JSON");
    let named = ["read", "write"].map(|access| acl["uplinkd"][access]["ubus"]["uplinkd"].clone());
    let named = named
        .iter()
        .flat_map(|list| list.as_array().expect("a list"));
    let named: BTreeSet<_> = named.map(|name| name.as_str().expect("a name")).collect();
    let signature = object.signature.as_object().expect("methods");
    assert_eq!(
        signature
            .keys()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        named
    );
    let (text, truth) = (3, 7);
    let drained = json!({"uplink": text, "drain": text, "force": truth});
    assert_eq!(signature["disable"], drained);
    assert_eq!(signature["switch"], json!({"uplink": text, "pin": truth}));
    assert_eq!(signature["auto"], json!({}));
}

#[test]
fn the_status_is_that_of_the_command_line() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let expected = serde_json::to_value(status()).expect("JSON");
    assert_eq!(client.call("status", &json!({})), (0, Some(expected)));
}

#[test]
fn each_method_asks_the_agent_for_what_it_is_named_after() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let mut done = |method: &str, data: &Value| {
        let (status, said) = client.call(method, data);
        assert_eq!(status, 0, "{method}");
        said.expect("an answer")["done"].clone()
    };
    let lte = json!({"uplink": "lte"});
    assert_eq!(done("switch", &lte), "switch lte");
    assert_eq!(done("disable", &lte), "disable lte");
    assert_eq!(done("enable", &lte), "enable lte");
    assert_eq!(done("forget", &lte), "forget lte");
    assert_eq!(done("auto", &json!({})), "auto");
    let pinned = json!({"uplink": "lte", "pin": true});
    assert_eq!(done("switch", &pinned), "switch lte --pin");
    let drained = |drain: Value| json!({"uplink": "lte", "drain": drain});
    assert_eq!(
        done("disable", &drained(json!("2h"))),
        "disable lte --drain=2h"
    );
    assert_eq!(
        done("disable", &drained(json!(true))),
        "disable lte --drain=10m"
    );
    assert_eq!(done("disable", &drained(json!(false))), "disable lte");
    // rpcd adds the session of a client by HTTP.
    let with_session = json!({"ubus_rpc_session": "x", "uplink": "lte"});
    assert_eq!(done("enable", &with_session), "enable lte");
}

#[test]
fn a_drill_that_goes_on_keeps_no_other_call_waiting() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let object = client.objects[0].id;
    let data = attribute(7, &fields(&json!({"uplink": "lte", "for": "5m"})));
    let drill = client.invoke(object, "drill", &data);
    assert!(is_answered(&mut client));
    let auto = client.invoke(object, "auto", &attribute(7, &[]));
    let done = |what: &str| (0, Some(json!({ "done": what })));
    assert_eq!(
        client.answers([drill, auto]),
        [done("the drill"), done("auto")]
    );
}

#[test]
fn the_history_is_a_list_of_what_hooks_get() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let events = |count| {
        let events: Vec<_> = (0..count).map(event).collect();
        Some(json!({ "history": events }))
    };
    assert_eq!(client.call("history", &json!({})), (0, events(2)));
    let since = json!({"since": "5s"});
    assert_eq!(client.call("history", &since), (0, events(5)));
}

#[test]
fn what_was_measured_in_a_day_is_lines_of_text() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let day = json!({"samples": "a day"});
    assert_eq!(client.call("day", &json!({})), (0, Some(day)));
}

#[test]
fn a_history_that_no_message_can_hold_is_an_error_and_not_the_end() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let (status, said) = client.call("history", &json!({"since": "20000s"}));
    assert_eq!((status, said), (UNKNOWN_ERROR, None));
    assert!(is_answered(&mut client));
}

#[test]
fn what_is_refused_says_why() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let refused = (UNKNOWN_ERROR, Some(json!({"refused": "not now"})));
    assert_eq!(client.call("reload", &json!({})), refused);
    let missing = json!({"not_found": "no uplink `starlink`; there are fiber, lte"});
    let answer = client.call("switch", &json!({"uplink": "starlink"}));
    assert_eq!(answer, (NOT_FOUND, Some(missing)));
}

#[test]
fn a_call_with_wrong_or_missing_arguments_is_an_invalid_argument() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let wrong = [
        ("switch", json!({})),
        ("switch", json!({"uplink": 7})),
        ("switch", json!({"uplink": null})),
        ("switch", json!({"uplink": ["lte"]})),
        ("switch", json!({"uplink": {"lte": true}})),
        ("switch", json!({"uplink": ""})),
        ("switch", json!({"uplink": "l t e"})),
        ("switch", json!({"uplink": "lte", "pin": "yes"})),
        ("disable", json!({"uplink": "lte", "drain": "-2h"})),
        ("disable", json!({"uplink": "lte", "drain": ""})),
        ("enable", json!({"uplink": 0.5})),
        ("disable", json!({"Uplink": "lte"})),
        ("history", json!({"since": 86_400})),
        ("history", json!({"since": "yesterday"})),
    ];
    for (method, data) in wrong {
        let answer = client.call(method, &data);
        assert_eq!(answer, (INVALID_ARGUMENT, None), "{method} {data}");
    }
    assert!(is_answered(&mut client));
}

#[test]
fn data_that_lies_is_an_invalid_argument() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let lies: [&[u8]; 8] = [
        &[0x83],
        &[0x83, 0xff, 0xff, 0xff, 0, 6],
        &[0x83, 0, 0, 3, 0, 0, 0, 0],
        &[0x83, 0, 0, 6, 0, 6, 0, 0],
        &[0x83, 0, 0, 8, 0xff, 0xff, b'u', 0],
        &named(3, "uplink", b"no end"),
        &named(3, "uplink", b"\xff\xfe\0"),
        &named(5, "uplink", &[0; 3]),
    ];
    for lie in lies {
        let answer = client.call_with("switch", lie);
        assert_eq!(answer, (INVALID_ARGUMENT, None), "{lie:x?}");
    }
    assert!(is_answered(&mut client));
}

#[test]
fn data_nested_a_thousand_deep_is_not_looked_into() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let nested = (0..1_000).fold(Vec::new(), |inner, _| named(2, "deeper", &inner));
    let mut data = nested.clone();
    data.extend(fields(&json!({"uplink": "lte"})));
    assert_eq!(client.call_with("enable", &data).0, 0);
    let data = named(2, "uplink", &nested);
    assert_eq!(client.call_with("enable", &data), (INVALID_ARGUMENT, None));
}

#[test]
fn methods_and_objects_that_are_not_there_are_not_found() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let answer = client.call("explode", &json!({}));
    assert_eq!(answer, (METHOD_NOT_FOUND, None));
    client.objects[0].id += 100;
    assert_eq!(client.call("status", &json!({})), (NOT_FOUND, None));
}

#[test]
fn a_call_that_wants_no_end_gets_none() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let object = client.objects[0].id;
    let mut more = attribute(10, &[1]);
    more.extend(attribute(7, &[]));
    client.invoke(object, "explode", &more);
    // A status for the call before would be taken for a stranger's by the stand-in.
    assert!(is_answered(&mut client));
}

#[test]
fn each_event_goes_to_those_who_listen_and_to_those_who_have_subscribed() {
    let site = Site::new();
    let mut client = site.bus.accept();
    assert!(is_answered(&mut client));
    site.agent.happen(2);
    for number in 0..2 {
        let record = serde_json::to_value(event(number)).expect("JSON");
        let heard = (client.told(), client.told());
        let sent = Told::Event("uplinkd.switch".to_owned(), record.clone());
        assert_eq!(heard, (sent, Told::Notice("switch".to_owned(), record)));
    }
}

#[test]
fn a_bus_that_comes_back_finds_the_object_again() {
    let site = Site::new();
    for _ in 0..3 {
        let mut client = site.bus.accept();
        assert!(is_answered(&mut client));
    }
    let path = site.path();
    let Site {
        directory,
        agent,
        bus,
    } = site;
    drop(bus);
    let bus = Bus::listen(&path);
    let mut client = bus.accept();
    assert!(is_answered(&mut client));
    agent.happen(1);
    assert!(matches!(client.told(), Told::Event(_, _)));
    drop((agent, directory));
}

#[test]
fn an_agent_that_ends_leaves_the_bus() {
    let site = Site::new();
    let mut client = site.bus.accept();
    assert!(is_answered(&mut client));
    drop(site.agent);
    assert!(client.has_left());
}

#[test]
fn a_bus_that_refuses_the_object_is_asked_again() {
    let site = Site::new();
    let mut client = site.bus.greet();
    client.refuse_object(INVALID_ARGUMENT);
    assert!(client.has_left());
    assert!(is_answered(&mut site.bus.accept()));
}

#[test]
fn what_is_no_ubus_is_left_and_tried_again() {
    let site = Site::new();
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        // A frame of another version, one longer than the longest, and one shorter than its head.
        &[1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
        &[0, 5, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 1],
        &[0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
    ] {
        let mut client = site.bus.accept();
        assert!(is_answered(&mut client));
        client.raw(garbage);
        assert!(client.has_left(), "{garbage:x?}");
    }
    assert!(is_answered(&mut site.bus.accept()));
    assert!(site.is_well());
}

#[test]
fn frames_that_answer_no_call_change_nothing() {
    let site = Site::new();
    let mut client = site.bus.accept();
    for kind in (0..=12).chain([255]).filter(|kind| *kind != 5) {
        client.send(kind, (77, 1), &attribute(1, &[0, 0, 0, 9]));
        client.send(kind, (77, 1), b"what? no");
    }
    assert!(is_answered(&mut client));
}

#[test]
fn a_bus_that_never_reads_delays_nothing_and_receives_the_present_status_afterwards() {
    let site = Site::new();
    let mut client = site.bus.accept();
    assert!(is_answered(&mut client));
    for _ in 0..10 {
        site.agent.happen(10_000);
        assert!(site.is_well());
    }
    // From here on it reads.
    let expected = serde_json::to_value(status()).expect("JSON");
    let expected = Told::Event("uplinkd.status".to_owned(), expected);
    let is_told = (0..100_000).any(|_| client.told() == expected);
    assert!(is_told);
    assert!(is_answered(&mut client));
}

#[test]
fn a_thousand_calls_at_once_are_all_answered_and_delay_no_other() {
    let site = Site::new();
    let mut client = site.bus.accept();
    client.flood("status", 1_000);
    assert!(site.is_well());
    for _ in 0..1_000 {
        client.end_of_call();
    }
    assert!(is_answered(&mut client));
}

#[test]
#[expect(clippy::print_stdout, reason = "a figure")]
fn a_status_is_answered_at_once() {
    let site = Site::new();
    let mut client = site.bus.accept();
    let times = times_bare_exchange(|| assert!(is_answered(&mut client)));
    println!("a status by ubus takes {times:.1} bare exchanges");
    assert!(times < MOST, "{times} bare exchanges");
}

#[test]
fn without_a_bus_the_agent_works() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ubus.sock");
    let agent = Agent::start(status(), Some(path.clone()));
    let mut socket = Socket::connect(&agent.path()).expect("a connection");
    let answer = socket.request(&Request::Status);
    assert!(matches!(answer, Ok(Response::Status(_))));
    let bus = Bus::listen(&path);
    assert!(is_answered(&mut bus.accept()));
}

/// One network of netifd that is up, as it says.
fn dump(device: &str, next_hop: &str) -> Value {
    json!({"interface": [
        {"interface": "wan", "up": true, "l3_device": device, "route": [
            {"target": "0.0.0.0", "mask": 0, "nexthop": next_hop},
        ]},
    ]})
}

/// Answers the agent until it has learnt something of the networks.
fn learnt(site: &Site, client: &mut Client) -> Vec<(String, String, String)> {
    let networks: Networks = loop {
        assert!(is_answered(client));
        if let Ok(networks) = site.agent.networks.recv_timeout(Duration::from_millis(10)) {
            break networks;
        }
    };
    let text = |name: Option<String>| name.unwrap_or_default();
    let networks = networks.into_iter().map(|(name, network)| {
        let device = network.device.map(|device| device.to_string());
        let hop = network.gateway.map(|hop| hop.to_string());
        (name.to_string(), text(device), text(hop))
    });
    networks.collect()
}

fn is_silent(site: &Site, client: &mut Client) -> bool {
    (0..20).all(|_| is_answered(client)) && site.agent.networks.try_recv().is_err()
}

fn wan(device: &str, next_hop: &str) -> Vec<(String, String, String)> {
    vec![("wan".to_owned(), device.to_owned(), next_hop.to_owned())]
}

#[test]
fn the_networks_of_netifd_are_followed_whenever_it_comes_and_whatever_it_says() {
    let site = Site::new();
    let mut client = site.bus.accept();
    assert!(is_answered(&mut client));
    client.netifd_says(dump("eth1", "192.0.2.1"));
    assert_eq!(learnt(&site, &mut client), wan("eth1", "192.0.2.1"));
    client.netifd_says(dump("pppoe-wan", "203.0.113.1"));
    assert_eq!(learnt(&site, &mut client), wan("pppoe-wan", "203.0.113.1"));
    client.netifd_says(dump("pppoe-wan", "203.0.113.1"));
    assert!(is_silent(&site, &mut client), "nothing is new");
    client.netifd_goes();
    assert!(is_silent(&site, &mut client), "what it said last holds");
    client.netifd_says(dump("eth1", "192.0.2.1"));
    assert_eq!(learnt(&site, &mut client), wan("eth1", "192.0.2.1"));
}

#[test]
fn a_netifd_that_is_there_first_is_found_on_each_bus() {
    let site = Site::new();
    for device in ["eth1", "eth2"] {
        let mut client = site.bus.accept();
        client.netifd = Some(dump(device, "192.0.2.1"));
        assert_eq!(learnt(&site, &mut client), wan(device, "192.0.2.1"));
    }
}

#[test]
fn a_thousand_changes_at_once_lead_to_the_last_of_them() {
    let site = Site::new();
    let mut client = site.bus.accept();
    client.netifd = Some(dump("eth0", "192.0.2.1"));
    assert_eq!(learnt(&site, &mut client), wan("eth0", "192.0.2.1"));
    for number in 0..1_000 {
        client.netifd_says(dump(&format!("eth{number}"), "192.0.2.1"));
    }
    while learnt(&site, &mut client) != wan("eth999", "192.0.2.1") {}
}

#[test]
fn netifd_is_asked_to_bring_networks_up_and_down_once_it_is_there() {
    let site = Site::new();
    let mut client = site.bus.accept();
    assert!(is_answered(&mut client));
    for (way, method) in [(Way::Up, "up"), (Way::Down, "down")] {
        let network = "wwan".parse().expect("a name");
        site.agent.order(Order { network, way });
        if client.netifd.is_none() {
            client.netifd_says(dump("eth1", "192.0.2.1"));
        }
        let expected = Told::Order(method.to_owned(), json!({"interface": "wwan"}));
        assert_eq!(client.told(), expected);
    }
}
