//! The status page of a real agent: in a real browser, and among hostile clients.

use super::*;
use crate::browser::Browser;
use crate::machine;

const AT_PAGE: &str = "127.0.0.1:9465";
const ORIGIN: &str = "http://127.0.0.1:9465/";
/// What an outage takes to be seen.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

/// The state that the page shows of an uplink.
fn shows(uplink: &str, state: &str) -> String {
    format!(
        "[...document.querySelectorAll('#uplinks tr')].some(row => \
         row.cells[0].textContent === '{uplink}' && row.cells[1].textContent === '{state}')"
    )
}

/// An agent with a page, whose uplinks are healthy.
async fn healthy(web: &str) -> Site {
    let site = Site::with("state", web, &probes());
    site.status(|status| {
        let is_up = |place: usize| status["uplinks"][place]["state"] == "up";
        status["active"][0] == "fiber" && is_up(0) && is_up(1)
    })
    .await;
    site
}

#[test]
fn a_browser_shows_an_outage_within_two_seconds_and_complains_of_nothing_also_on_a_phone() {
    let Some(program) = Browser::program() else {
        machine::not_run(&machine::this_test(), &"there is no chromium here");
        return;
    };
    netns::run(move |world| async move {
        let _beyond = answered(&world).await;
        let mut site = healthy(&format!("web = \"{AT_PAGE}\"\n")).await;
        let mut browser = Browser::start(program);
        for (screen, is_mobile) in [([1_280, 800], false), ([360, 740], true)] {
            browser.screen(screen, is_mobile);
            browser.open(ORIGIN);
            browser.until(&shows("fiber", "up, carries"));
            browser.until(&shows("lte", "up"));
            browser.until("document.querySelectorAll('#day svg.bar').length === 2");
            let width = browser.value("document.documentElement.scrollWidth");
            assert_eq!(width, screen[0], "nothing is beside the screen");
            let is_styled = "getComputedStyle(document.querySelector('#day .bar')).height";
            assert_eq!(browser.value(is_styled), "26px");

            world.set_up(FIBER, false).await;
            let took = browser.until(&shows("lte", "up, carries"));
            assert!(took <= SHOWN_WITHIN, "{took:?}");
            browser.until(&shows("fiber", "down"));
            browser
                .until("document.querySelector('#head').textContent.startsWith('Carrying: lte.')");
            browser.until("document.querySelector('#day svg.bar .outage') !== null");
            eprintln!("an outage is shown after {took:?}, {} px wide", screen[0]);

            world.set_up(FIBER, true).await;
            world.add_default(FIBER, VIA_FIBER).await;
            site.status(|status| status["uplinks"][0]["state"] == "up")
                .await;
            assert!(
                site.say(&["switch", "fiber"]).status.success(),
                "{}",
                site.log()
            );
            browser.until(&shows("fiber", "up, carries"));
            let complaints = browser.complaints(ORIGIN);
            assert!(complaints.is_empty(), "{complaints:#?}");
            assert!(site.say(&["auto"]).status.success(), "{}", site.log());
        }
        // An agent that is gone is missed, and found again.
        site.end(Signal::SIGTERM);
        browser.until("document.querySelector('#head').textContent.includes('does not answer')");
        site.start();
        browser.until(&shows("fiber", "up, carries"));
    });
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {AT_PAGE}\r\n\r\n").into_bytes()
}

/// How long an answer takes, and whether it is whole.
fn page_time(path: &str) -> Duration {
    let begun = Instant::now();
    let answer = exchange(AT_PAGE, &get(path)).expect("an answer");
    assert!(
        body(&answer).is_some_and(|body| !body.is_empty()),
        "{answer}"
    );
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn each_request_for_the_page_is_answered_by_what_it_is() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let _site = healthy(&format!("web = \"{AT_PAGE}\"\n")).await;
        let line = |request: &[u8]| {
            let answer = exchange(AT_PAGE, request).expect("an answer");
            answer.lines().next().map(str::to_owned).unwrap_or_default()
        };
        for path in ["/", "/page.js", "/style.css", "/status.json", "/day.html"] {
            assert_eq!(line(&get(path)), "HTTP/1.1 200 OK", "{path}");
        }
        for path in ["/metrics", "/../etc/passwd", "//", "/status.json/"] {
            assert_eq!(line(&get(path)), "HTTP/1.1 404 Not Found", "{path}");
        }
        // A page of another site that leads its name here, and one without a name.
        for host in ["Host: evil.example\r\n", "Host: evil.example:9465\r\n", ""] {
            let request = format!("GET /status.json HTTP/1.1\r\n{host}\r\n");
            assert_eq!(
                line(request.as_bytes()),
                "HTTP/1.1 421 Misdirected Request",
                "{host}"
            );
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: {AT_PAGE}\r\n\r\n");
            assert_eq!(
                line(request.as_bytes()),
                "HTTP/1.1 405 Method Not Allowed",
                "{method}"
            );
        }
        let large = [get("/").split_at(16).0, &vec![b'x'; 1 << 20]].concat();
        assert!(line(&large).starts_with("HTTP/1.1 431"), "{}", line(&large));
        assert_eq!(line(b"\x16\x03\x01\x00\xff"), "HTTP/1.1 400 Bad Request");
        let answer = exchange(AT_PAGE, &get("/"))
            .expect("an answer")
            .to_ascii_lowercase();
        let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("content-security-policy: "), "{head}");
        assert!(!head.contains("access-control-"), "{head}");
    });
}

#[test]
fn hostile_clients_delay_neither_the_page_nor_a_switch() {
    const REQUESTS: &[&[u8]] = &[
        b"GET /day.html HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /status.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HT",
    ];
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let site = healthy(&format!("web = \"{AT_PAGE}\"\n")).await;
        let parts = ["/", "/status.json", "/day.html"];
        let times = || parts.map(|part| median((0..15).map(|_| page_time(part)).collect()));
        let alone = times();
        // They hold their connections, say a part of what they want, and read nothing.
        let mut held = Vec::new();
        for number in 0..1_000 {
            let mut client = connect(AT_PAGE).expect("a connection");
            drop(client.write_all(REQUESTS[number % REQUESTS.len()]));
            held.push(client);
        }
        let beside_held = times();
        // Slow ones, each of which says a byte now and then.
        for client in held.iter_mut().rev().take(100) {
            drop(client.write_all(b"x"));
        }
        let (in_flood, made) = in_a_flood(AT_PAGE, REQUESTS, times);
        eprintln!(
            "{parts:?} take {alone:?}; beside 1,000 clients {beside_held:?}; as {made} come {in_flood:?}"
        );
        // On a busy machine; the figures above are those of an idle one.
        for time in beside_held.into_iter().chain(in_flood) {
            assert!(time < Duration::from_millis(500), "{time:?}");
        }
        assert_switches_in_a_flood(&site, AT_PAGE, REQUESTS);
        drop(held);
    });
}
