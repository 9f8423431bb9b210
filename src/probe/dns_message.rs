//! DNS messages (RFC 1035, section 4): a query with one question, and its answer.
//!
//! Of an answer the header, the question and the address records are read. Names in records are
//! skipped, and compression pointers not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::units::{HostName, RecordType};

/// Without EDNS (RFC 6891) an answer has 512 bytes at most; some servers send more.
pub(super) const MAX_ANSWER: usize = 1232;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;

/// A query as it is sent.
#[derive(Clone, Debug)]
pub(super) struct DnsQuestion {
    bytes: Vec<u8>,
}

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsAnswer {
    /// Its response code.
    pub(super) code: ResponseCode,
    /// The addresses in it.
    pub(super) addresses: Vec<IpAddr>,
    /// The least time to live of these.
    pub(super) lives: Duration,
}

/// A response code (RFC 1035, section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseCode(u8);

impl ResponseCode {
    pub(super) const NO_ERROR: Self = Self(0);
    pub(super) const NO_SUCH_NAME: Self = Self(3);
}

impl std::fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 6] = [
            "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE {}", self.0),
        }
    }
}

impl DnsQuestion {
    /// A query with recursion.
    pub(super) fn new(id: u16, name: &HostName, record: RecordType) -> Self {
        let mut bytes = id.to_be_bytes().to_vec();
        // Recursion desired; one question, nothing else.
        bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.labels() {
            // A label has 63 bytes at most.
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(record.number().to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        Self { bytes }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a datagram; none if it is no well-formed answer to this query.
    pub(super) fn read(&self, datagram: &[u8]) -> Option<DnsAnswer> {
        let mut reader = DnsReader { rest: datagram };
        let id = reader.take(2)?;
        let [flags, more] = *reader.array()?;
        let questions = reader.number()?;
        let answers = reader.number()?;
        reader.take(4)?;
        let is_response = flags & 0x80 != 0;
        let is_query = flags & 0x78 == 0;
        let code = ResponseCode(more & 0x0f);
        if id != &self.bytes[..2] || !is_response || !is_query {
            return None;
        }
        let asked = &self.bytes[HEADER..];
        match questions {
            // With an error a server may leave the question out.
            0 if code != ResponseCode::NO_ERROR => {}
            1 if reader.take(asked.len())?.eq_ignore_ascii_case(asked) => {}
            _ => return None,
        }
        let mut answer = DnsAnswer {
            code,
            addresses: Vec::new(),
            lives: Duration::MAX,
        };
        for _ in 0..answers {
            let record = reader.record()?;
            if let Some(address) = record.address() {
                answer.addresses.push(address);
                answer.lives = answer.lives.min(record.lives);
            }
        }
        Some(answer)
    }
}

struct DnsRecord<'a> {
    kind: u16,
    class: u16,
    lives: Duration,
    data: &'a [u8],
}

impl DnsRecord<'_> {
    fn address(&self) -> Option<IpAddr> {
        if self.class != CLASS_IN {
            return None;
        }
        if self.kind == RecordType::A.number() {
            let octets: [u8; 4] = self.data.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        } else if self.kind == RecordType::Aaaa.number() {
            let octets: [u8; 16] = self.data.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        } else {
            None
        }
    }
}

/// The unread part of a message.
struct DnsReader<'a> {
    rest: &'a [u8],
}

impl<'a> DnsReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u16> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn record(&mut self) -> Option<DnsRecord<'a>> {
        self.skip_name()?;
        let kind = self.number()?;
        let class = self.number()?;
        let seconds = u32::from_be_bytes(*self.array()?);
        let length = self.number()?;
        Some(DnsRecord {
            kind,
            class,
            lives: Duration::from_secs(seconds.into()),
            data: self.take(length.into())?,
        })
    }

    /// Labels, and a zero or a pointer at their end (RFC 1035, section 4.1.4).
    fn skip_name(&mut self) -> Option<()> {
        loop {
            let [length] = *self.array()?;
            match length {
                0 => return Some(()),
                1..=63 => drop(self.take(length.into())?),
                0xc0.. => return self.take(1).map(drop),
                64..0xc0 => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;

    fn question() -> DnsQuestion {
        let name = HostName::parse("www.example.com").expect("a name");
        DnsQuestion::new(0xabcd, &name, RecordType::A)
    }

    /// A response that echoes the question and has these records.
    fn response(code: u8, answers: u16, records: &[u8]) -> Vec<u8> {
        let asked = question();
        let mut bytes = asked.bytes[..2].to_vec();
        bytes.extend([0x81, 0x80 | code, 0, 1]);
        bytes.extend(answers.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&asked.bytes[HEADER..]);
        bytes.extend(records);
        bytes
    }

    /// `www` is another name, and that has an address for 60 s.
    const ALIAS_AND_ADDRESS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\x0e\x10\0\x06\x03cdn\xc0\x10\
          \xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x50";

    #[test]
    fn a_query_has_the_bytes_of_rfc_1035() {
        assert_eq!(
            question().as_bytes(),
            b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01"
        );
    }

    #[test]
    fn an_address_is_found_behind_an_alias() {
        let answer = question().read(&response(0, 2, ALIAS_AND_ADDRESS));
        let expected = DnsAnswer {
            code: ResponseCode::NO_ERROR,
            addresses: vec![Ipv4Addr::new(192, 0, 2, 80).into()],
            lives: Duration::from_secs(60),
        };
        assert_eq!(answer, Some(expected));
    }

    #[test]
    fn the_letters_of_the_question_may_come_back_in_another_case() {
        let mut bytes = response(0, 0, &[]);
        bytes[HEADER + 1..HEADER + 4].copy_from_slice(b"WwW");
        assert!(question().read(&bytes).is_some());
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let good = response(0, 2, ALIAS_AND_ADDRESS);
        for place in (0..6).chain(HEADER..question().bytes.len()) {
            let mut bytes = good.clone();
            // Not the case of a letter, and not the code, which may be any.
            bytes[place] ^= if place == 3 { 0 } else { 0x40 };
            let is_the_same = bytes == good || (place == 2 && bytes[2] & 0xf8 == 0x80);
            assert_eq!(question().read(&bytes).is_some(), is_the_same, "{place}");
        }
    }

    #[test]
    fn an_error_may_leave_the_question_out() {
        let mut refusal = b"\xab\xcd\x81\x85\0\0\0\0\0\0\0\0".to_vec();
        let answer = question().read(&refusal).expect("an answer");
        assert_eq!(answer.code.to_string(), "REFUSED");
        refusal[3] = 0x80;
        assert_eq!(question().read(&refusal), None);
    }

    #[test]
    fn a_message_with_a_wrong_length_is_no_answer() {
        let good = response(0, 2, ALIAS_AND_ADDRESS);
        for length in 0..good.len() {
            assert_eq!(question().read(&good[..length]), None, "{length}");
        }
        let more = response(0, u16::MAX, ALIAS_AND_ADDRESS);
        assert_eq!(question().read(&more), None);
        let long_data = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\xff\xff\xc0\0\x02\x50";
        assert_eq!(question().read(&response(0, 1, long_data)), None);
        let short_data = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x01\xc0";
        let answer = question().read(&response(0, 1, short_data));
        assert_eq!(answer.expect("an answer").addresses, [] as [IpAddr; 0]);
    }

    #[test]
    fn a_compression_pointer_is_never_followed() {
        // The name of the record points to itself.
        let start = response(0, 1, &[]).len();
        let [high, low] = u16::try_from(start).expect("short").to_be_bytes();
        let mut looped = vec![0xc0 | high, low];
        looped.extend(&ALIAS_AND_ADDRESS[20..]);
        let answer = question().read(&response(0, 1, &looped));
        assert_eq!(answer.expect("an answer").addresses.len(), 1);
        let reserved = b"\x40\0\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x50";
        assert_eq!(question().read(&response(0, 1, reserved)), None);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn no_datagram_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..MAX_ANSWER)) {
            question().read(&bytes);
        }

        #[test]
        fn no_record_makes_it_panic(
            answers in any::<u16>(),
            records in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            question().read(&response(0, answers, &records));
        }
    }
}
