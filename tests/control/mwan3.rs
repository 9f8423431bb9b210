//! The object `mwan3` on ubus: beside the agent's own, and left to a program that has it already.

use crate::agent::Agent;
use crate::bus::{Bus, fields};
use crate::ubus::status;
use serde_json::{Value, json};

#[test]
fn the_object_is_beside_the_agent_s_own_and_passes_on_what_is_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ubus.sock");
    let bus = Bus::listen(&path);
    let _agent = Agent::start(status(), Some(path));
    let mut client = bus.accept();
    assert_eq!(client.call("status", &json!({})).0, 0);
    let object = client.objects[1].clone();
    assert_eq!(object.path, "mwan3");
    assert_eq!(
        object.signature,
        json!({ "status": { "section": 3, "interface": 3 } })
    );
    let mut call =
        |method: &str, data: Value| client.call_object(object.id, method, &fields(&data));
    let asked = json!({ "section": "interfaces", "interface": "wan", "ubus_rpc_session": "x" });
    let passed_on = json!({ "section": "interfaces", "interface": "wan" });
    assert_eq!(call("status", asked), (0, Some(passed_on)));
    let all = json!({ "section": null, "interface": null });
    assert_eq!(call("status", json!({})), (0, Some(all)));
    assert_eq!(call("status", json!({ "section": 7 })), (2, None));
    assert_eq!(
        call("switch", json!({ "uplink": "lte" })),
        (3, None),
        "it has no commands"
    );
}

#[test]
fn an_object_of_mwan3_that_another_program_has_is_left_to_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ubus.sock");
    let bus = Bus::listen(&path);
    let _agent = Agent::start(status(), Some(path));
    let mut client = bus.accept();
    client.has_mwan3 = true;
    for _ in 0..3 {
        assert_eq!(client.call("status", &json!({})).0, 0);
    }
    assert_eq!(client.objects.len(), 1);
}
