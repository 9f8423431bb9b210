//! The addresses of names in targets, per uplink: providers may resolve a name to different hosts.
//!
//! No probe waits for a name: it is sent to the known address, or not at all, while a query runs. An
//! address is used for the time to live of its record, within bounds, and longer while no resolver
//! answers: the failure of a resolver is not the target's.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::dns;
use super::dns_message::{DnsAnswer, ResponseCode};
use super::job::{ProbeExit, ProbeJob};
use super::socket::now;
use crate::units::sorted::SortedMap;
use crate::units::{DnsTarget, HostName, RecordType, UplinkName};

/// The least and the most time that an address is used without a new query.
const LIVES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// The pause before a new query for a name without an address.
const RETRY: Duration = Duration::from_secs(1);
/// The same for a name with an old address.
const RETRY_OLD: Duration = Duration::from_secs(30);
/// How long a server may take.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// A name that was not used for so long is forgotten.
const FORGET: Duration = Duration::from_secs(3600);
/// Servers that are queried at most.
const MAX_SERVERS: usize = 8;

/// The files with this machine's name servers; the first with a server beyond this machine counts.
const RESOLV_CONFS: [&str; 3] = [
    "/etc/resolv.conf",
    // The upstream servers of systemd-resolved and of netifd, where the first names a local stub.
    "/run/systemd/resolve/resolv.conf",
    "/tmp/resolv.conf.d/resolv.conf.auto",
];
/// Queried last. A provider's resolver often refuses queries through another provider.
const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(9, 9, 9, 9)];

type NameKey = (UplinkName, HostName);

/// The names of targets, and the queries for them.
#[derive(Default)]
pub(super) struct Names {
    known: SortedMap<NameKey, CachedName>,
    lookups: JoinSet<NameLookup>,
}

struct CachedName {
    exit: ProbeExit,
    address: Option<IpAddr>,
    /// Why there is no address.
    trouble: Option<String>,
    is_queried: bool,
    query_at: Instant,
    used: Instant,
}

struct NameLookup {
    key: NameKey,
    exit: ProbeExit,
    result: Result<ResolvedAddress, String>,
}

struct ResolvedAddress {
    address: IpAddr,
    lives: Duration,
}

impl Names {
    /// The address to probe, or why there is none. Starts a query for it if one is due.
    pub(super) fn address(&mut self, job: &ProbeJob, name: &HostName) -> Result<IpAddr, String> {
        let key = (job.probe.uplink.clone(), name.clone());
        let now = now();
        if self.known.get(&key).is_none_or(|cached| !cached.is_of(job)) {
            let is_in_use = |cached: &CachedName| now.duration_since(cached.used) < FORGET;
            self.known.retain(|_, cached| is_in_use(cached));
            self.known.insert(key.clone(), CachedName::new(job, now));
        }
        let Some(cached) = self.known.get_mut(&key) else {
            return Err(format!("{name} is not resolved yet"));
        };
        cached.used = now;
        let is_due = cached.query_at <= now && !cached.is_queried;
        if is_due {
            cached.is_queried = true;
            self.lookups.spawn(look_up(key, job.clone()));
        }
        cached.address.ok_or_else(|| match &cached.trouble {
            None => format!("{name} is not resolved yet"),
            Some(trouble) => format!("{name} is not resolved: {trouble}"),
        })
    }

    pub(super) fn is_querying(&self) -> bool {
        !self.lookups.is_empty()
    }

    /// Waits until a query ends.
    pub(super) async fn learn(&mut self) {
        let Some(Ok(lookup)) = self.lookups.join_next().await else {
            return;
        };
        let cached = self.known.get_mut(&lookup.key);
        if let Some(cached) = cached.filter(|cached| cached.exit == lookup.exit) {
            cached.learn(lookup.result, now());
        }
    }
}

impl CachedName {
    fn new(job: &ProbeJob, now: Instant) -> Self {
        Self {
            exit: job.exit.clone(),
            address: None,
            trouble: None,
            is_queried: false,
            query_at: now,
            used: now,
        }
    }

    fn is_of(&self, job: &ProbeJob) -> bool {
        self.exit == job.exit
    }

    fn learn(&mut self, result: Result<ResolvedAddress, String>, now: Instant) {
        self.is_queried = false;
        match result {
            Ok(found) => {
                self.address = Some(found.address);
                self.trouble = None;
                self.query_at = now + found.lives.clamp(LIVES.0, LIVES.1);
            }
            Err(trouble) => {
                self.trouble = Some(trouble);
                let retry = self.address.map_or(RETRY, |_| RETRY_OLD);
                self.query_at = now + retry;
            }
        }
    }
}

async fn look_up(key: NameKey, job: ProbeJob) -> NameLookup {
    let servers = servers(&job.resolvers);
    let name = &key.1;
    let mut result = query(&servers, name, RecordType::A, &job.exit).await;
    if matches!(result, Ok(None)) {
        result = query(&servers, name, RecordType::Aaaa, &job.exit).await;
    }
    let result = result.and_then(|found| found.ok_or_else(|| "it has no address".to_owned()));
    NameLookup {
        exit: job.exit,
        key,
        result,
    }
}

/// Queries one server after the other until one knows; none if the name has no such record.
async fn query(
    servers: &[IpAddr],
    name: &HostName,
    record: RecordType,
    exit: &ProbeExit,
) -> Result<Option<ResolvedAddress>, String> {
    let mut troubles = Vec::new();
    for server in servers {
        let address = SocketAddr::new(*server, DnsTarget::PORT);
        let answer = dns::query(address, name, record, exit);
        let trouble = match timeout(SERVER_TIMEOUT, answer).await {
            Err(_) => "no answer".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(answer)) => match read(&answer, record) {
                Ok(found) => return Ok(found),
                Err(ResponseCode::NO_SUCH_NAME) => return Err("no such name".to_owned()),
                Err(code) => code.to_string(),
            },
        };
        troubles.push(format!("{server}: {trouble}"));
    }
    Err(troubles.join(", "))
}

fn read(answer: &DnsAnswer, record: RecordType) -> Result<Option<ResolvedAddress>, ResponseCode> {
    if answer.code != ResponseCode::NO_ERROR {
        return Err(answer.code);
    }
    let is_of_type = |address: &&IpAddr| address.is_ipv6() == (record == RecordType::Aaaa);
    let address = answer.addresses.iter().find(is_of_type);
    Ok(address.map(|address| ResolvedAddress {
        address: *address,
        lives: answer.lives,
    }))
}

fn servers(configured: &[IpAddr]) -> Vec<IpAddr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    // Read each time: a DHCP lease may have changed these small files.
    let texts = RESOLV_CONFS
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let own = texts.map(|text| nameservers(&text));
    let mut servers = own
        .into_iter()
        .find(|own| !own.is_empty())
        .unwrap_or_default();
    for server in PUBLIC.map(IpAddr::from) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// The servers of a resolv.conf(5) other than this machine.
fn nameservers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        // An address with a zone (fe80::1%eth0) does not parse: it is of no use on another link.
        words.next().filter(|_| is_server)?.parse::<IpAddr>().ok()
    };
    let servers = text.lines().filter_map(server);
    let beyond = servers.filter(|server| !server.is_loopback() && !server.is_unspecified());
    beyond.take(MAX_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_stub_is_not_queried_through_an_uplink() {
        let stub = "# by hand\nnameserver 127.0.0.53\nnameserver ::1\noptions edns0 trust-ad\n";
        assert_eq!(nameservers(stub), [] as [IpAddr; 0]);
        let real = "search lan\n nameserver 192.0.2.53 # wan\nnameserver fe80::1%eth0\n\
                    nameserver 2001:db8::53\nnameserver\nnameservers 192.0.2.54\n";
        let expected: [IpAddr; 2] = [
            Ipv4Addr::new(192, 0, 2, 53).into(),
            "2001:db8::53".parse().expect("an address"),
        ];
        assert_eq!(nameservers(real), expected);
    }

    #[test]
    fn only_the_configured_servers_are_queried() {
        let configured = [Ipv4Addr::new(192, 0, 2, 53).into()];
        assert_eq!(servers(&configured), configured);
        assert!(servers(&[]).ends_with(&PUBLIC.map(IpAddr::from)));
    }

    #[test]
    fn an_address_outlives_its_record_while_no_resolver_answers() {
        let start = now();
        let job = ProbeJob {
            probe: crate::engine::action::ProbeOrder {
                id: crate::units::ProbeId(1),
                uplink: "fiber".parse().expect("a name"),
                target: "tcp://www.example.com:443".parse().expect("a target"),
                hop: None,
                listen_for: SERVER_TIMEOUT,
            },
            exit: ProbeExit {
                interface: "eth1".parse().expect("a name"),
                index: crate::units::IfIndex::new(1).expect("not 0"),
                mark: crate::units::Mark(1),
            },
            resolvers: Vec::new(),
        };
        let mut cached = CachedName::new(&job, start);
        cached.learn(Err("192.0.2.53: no answer".to_owned()), start);
        assert_eq!(cached.query_at, start + RETRY);
        let address = Ipv4Addr::new(192, 0, 2, 80).into();
        for (seconds, used) in [
            (0, LIVES.0),
            (300, Duration::from_secs(300)),
            (86_400, LIVES.1),
        ] {
            let lives = Duration::from_secs(seconds);
            cached.learn(Ok(ResolvedAddress { address, lives }), start);
            assert_eq!(
                (cached.address, cached.query_at),
                (Some(address), start + used)
            );
        }
        cached.learn(Err("192.0.2.53: SERVFAIL".to_owned()), start);
        assert_eq!(
            (cached.address, cached.query_at),
            (Some(address), start + RETRY_OLD)
        );
    }
}
