//! One conversation with ubusd, without its socket: frames in, bytes and outcomes out.

use super::blob::{Malformed, Writer};
use super::blobmsg::{Fields, kind};
use super::frame::{Address, Code, Frame, Kind, Message, attribute};
use super::netifd::{self, Networks, Order};
use super::object;
use crate::control::Request;
use crate::units::sorted::SortedMap;

/// What the agent does about a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum UbusOutcome {
    /// The object is there for everybody.
    Registered,
    /// A client sends a request.
    Ask(Invocation),
    /// netifd has reported its networks.
    Follow(Networks),
    /// ubusd does not pass on an event, with this status.
    Unheard(u32),
    /// netifd refuses an order, with this status.
    NotDone(u32),
}

/// Which objects the agent has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// Its own.
    #[default]
    Uplinkd,
    /// The one of mwan3 as well.
    Mwan3,
}

/// Why a conversation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// ubusd does not take the object.
    #[error(
        "ubusd refuses the object `uplinkd` (status {0}): another agent has it, or this user may \
         not publish it"
    )]
    Refused(u32),
    /// What we said is not what ubus speaks.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A call of a method of ours, until it is answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What is wanted.
    pub request: Request,
    caller: UbusClient,
}

/// Who waits for the end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UbusClient {
    address: Address,
    object: u32,
    is_waiting: bool,
}

/// A request to ubusd without an answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Object,
    /// The object of mwan3, which another program may have.
    Mwan3,
    Event,
    /// An object without a name, to which ubusd sends what it is to hear.
    Ear,
    /// That the ear hears when objects come.
    Listening,
    Netifd,
    Subscription,
    Dump,
    Order,
}

/// The state of a conversation.
#[derive(Debug, Default)]
pub struct Session {
    sequence: u16,
    asked: SortedMap<u16, Asked>,
    offer: Offer,
    object: Option<u32>,
    mwan3: Option<u32>,
    outgoing: Vec<u8>,
    ear: Option<u32>,
    netifd: Option<u32>,
    /// Something has changed since the request to netifd.
    is_stale: bool,
}

impl Session {
    /// Begins to register the object, and after it what else is offered.
    ///
    /// # Errors
    /// Never, as the object fits into a message.
    pub fn register(&mut self, offer: Offer) -> Result<(), Broken> {
        self.offer = offer;
        self.add(Asked::Object, object::PATH, object::write_signature)
    }

    fn add(&mut self, asked: Asked, path: &str, signature: fn(&mut Writer)) -> Result<(), Broken> {
        let mut body = Writer::default();
        body.text(attribute::OBJECT_PATH, path);
        body.nest(attribute::SIGNATURE, signature);
        self.ask(asked, Kind::AddObject, 0, body)
    }

    /// Begins to follow netifd, without an object of our own.
    ///
    /// # Errors
    /// Never, as it fits into a message.
    pub fn follow(&mut self) -> Result<(), Broken> {
        self.ask(Asked::Ear, Kind::AddObject, 0, Writer::default())
    }

    /// What is to be sent.
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// netifd is there, and takes orders.
    pub fn has_netifd(&self) -> bool {
        self.netifd.is_some()
    }

    /// Asks netifd to bring a network up or down.
    ///
    /// # Errors
    /// Never, as it fits into a message.
    pub fn order(&mut self, order: &Order) -> Result<(), Broken> {
        let Some(netifd) = self.netifd else {
            return Ok(());
        };
        let mut data = Writer::default();
        let name = order.network.as_str();
        data.named(kind::TEXT, "interface", |writer| writer.raw_text(name));
        let data = data.into_bytes();
        self.invoke(Asked::Order, netifd, order.way.method(), &data)
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// If the conversation is over.
    pub fn handle(&mut self, frame: &Frame) -> Result<Option<UbusOutcome>, Broken> {
        let (message, outcome) = Message::parse(&frame.body);
        match frame.kind {
            Some(Kind::Invoke) if message.object.is_some() && message.object == self.ear => {
                self.heard(frame.address, &message)?;
                Ok(None)
            }
            Some(Kind::Invoke) => {
                let request = outcome
                    .map_err(Code::from)
                    .and_then(|()| self.request(&message));
                self.invoked(frame.address, &message, request)
            }
            // Answers to our requests; malformed ones count as none.
            Some(Kind::Data) if outcome.is_ok() => {
                let asked = self.asked.get(&frame.address.sequence).copied();
                Ok(self.answered(asked, &message))
            }
            Some(Kind::Status) if outcome.is_ok() => {
                let asked = self.asked.remove(&frame.address.sequence);
                let code = message.status.unwrap_or_default();
                self.ended(asked, code)
            }
            Some(Kind::Unsubscribe) => {
                self.netifd = None;
                // It answers nothing any more.
                self.asked
                    .retain(|_, asked| !matches!(asked, Asked::Dump | Asked::Order));
                Ok(None)
            }
            Some(
                Kind::Hello
                | Kind::Data
                | Kind::Status
                | Kind::Lookup
                | Kind::AddObject
                | Kind::Subscribe
                | Kind::Notify,
            )
            | None => Ok(None),
        }
    }

    /// Something has happened to the networks, or an object has come.
    fn heard(&mut self, address: Address, message: &Message<'_>) -> Result<(), Broken> {
        let data = Fields::of(message.data.unwrap_or_default());
        match message.method {
            Some(OBJECT_ADDED) => {
                let path = netifd::text(&data, "path").ok().flatten();
                if path == Some(netifd::PATH) {
                    self.look_for_netifd()?;
                }
            }
            Some(_) | None => self.dump()?,
        }
        let caller = caller(address, message);
        // ubusd, which passes on events, waits for nothing.
        if address.peer == 0 {
            return Ok(());
        }
        self.end(caller, Code::Ok)
    }

    fn look_for_netifd(&mut self) -> Result<(), Broken> {
        let mut body = Writer::default();
        body.text(attribute::OBJECT_PATH, netifd::PATH);
        self.ask(Asked::Netifd, Kind::Lookup, 0, body)
    }

    /// Requests the networks of netifd; again afterwards, if a request is under way.
    fn dump(&mut self) -> Result<(), Broken> {
        let is_asked = self.asked.values().any(|asked| *asked == Asked::Dump);
        self.is_stale = is_asked;
        match self.netifd {
            Some(netifd) if !is_asked => self.invoke(Asked::Dump, netifd, "dump", &[]),
            Some(_) | None => Ok(()),
        }
    }

    fn answered(&mut self, asked: Option<Asked>, message: &Message<'_>) -> Option<UbusOutcome> {
        match asked? {
            Asked::Object => self.object = message.object,
            Asked::Mwan3 => self.mwan3 = message.object,
            Asked::Ear => self.ear = message.object,
            Asked::Netifd => self.netifd = message.object,
            Asked::Dump => {
                let dump = Fields::of(message.data?);
                return netifd::networks(&dump).ok().map(UbusOutcome::Follow);
            }
            Asked::Event | Asked::Listening | Asked::Subscription | Asked::Order => {}
        }
        None
    }

    fn ended(&mut self, asked: Option<Asked>, code: u32) -> Result<Option<UbusOutcome>, Broken> {
        let is_well = code == Code::Ok as u32;
        match asked {
            Some(Asked::Object) if is_well && self.object.is_some() => {
                self.follow()?;
                if self.offer == Offer::Mwan3 {
                    self.add(
                        Asked::Mwan3,
                        object::MWAN3_PATH,
                        object::write_mwan3_signature,
                    )?;
                }
                return Ok(Some(UbusOutcome::Registered));
            }
            Some(Asked::Object) => return Err(Broken::Refused(code)),
            Some(Asked::Ear) => self.listen()?,
            Some(Asked::Netifd) if is_well => self.subscribe()?,
            Some(Asked::Dump) if self.is_stale => self.dump()?,
            Some(Asked::Event) if !is_well => return Ok(Some(UbusOutcome::Unheard(code))),
            Some(Asked::Order) if !is_well => return Ok(Some(UbusOutcome::NotDone(code))),
            Some(
                Asked::Mwan3
                | Asked::Event
                | Asked::Listening
                | Asked::Netifd
                | Asked::Subscription
                | Asked::Dump
                | Asked::Order,
            )
            | None => {}
        }
        Ok(None)
    }

    /// netifd may come later, or come again.
    fn listen(&mut self) -> Result<(), Broken> {
        let Some(ear) = self.ear else {
            return Ok(());
        };
        let mut data = Writer::default();
        data.named(kind::INT32, "object", |writer| {
            writer.raw(&ear.to_be_bytes());
        });
        data.named(kind::TEXT, "pattern", |writer| {
            writer.raw_text(OBJECT_ADDED);
        });
        self.invoke(Asked::Listening, EVENTS, "register", &data.into_bytes())?;
        self.look_for_netifd()
    }

    fn subscribe(&mut self) -> Result<(), Broken> {
        let (Some(ear), Some(netifd)) = (self.ear, self.netifd) else {
            return Ok(());
        };
        let mut body = Writer::default();
        body.number(attribute::OBJECT, ear);
        body.number(attribute::TARGET, netifd);
        self.ask(Asked::Subscription, Kind::Subscribe, 0, body)?;
        self.dump()
    }

    fn request(&self, message: &Message<'_>) -> Result<Request, Code> {
        let method = message.method.ok_or(Code::InvalidArgument);
        let data = message.data.unwrap_or_default();
        let object = message.object.ok_or(Code::NotFound)?;
        if Some(object) == self.object {
            object::request(method?, data)
        } else if Some(object) == self.mwan3 {
            object::mwan3_request(method?, data)
        } else {
            Err(Code::NotFound)
        }
    }

    fn invoked(
        &mut self,
        address: Address,
        message: &Message<'_>,
        request: Result<Request, Code>,
    ) -> Result<Option<UbusOutcome>, Broken> {
        let caller = caller(address, message);
        match request {
            Ok(request) => Ok(Some(UbusOutcome::Ask(Invocation { request, caller }))),
            Err(code) => {
                self.end(caller, code)?;
                Ok(None)
            }
        }
    }

    /// Answers a call with data, and with how it ended.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn answer(
        &mut self,
        invocation: &Invocation,
        data: &[u8],
        code: Code,
    ) -> Result<(), Broken> {
        let caller = invocation.caller;
        let is_told = self.reply(caller, data);
        let code = is_told.map_or(Code::UnknownError, |()| code);
        self.end(caller, code)
    }

    /// Ends a call for which there is no answer.
    ///
    /// # Errors
    /// Never, as it fits into a message.
    pub fn fail(&mut self, invocation: &Invocation) -> Result<(), Broken> {
        self.end(invocation.caller, Code::UnknownError)
    }

    fn reply(&mut self, caller: UbusClient, data: &[u8]) -> Result<(), Malformed> {
        let mut body = Writer::default();
        body.number(attribute::OBJECT, caller.object);
        body.bytes(attribute::DATA, data);
        self.send(Kind::Data, caller.address, body)
    }

    fn end(&mut self, caller: UbusClient, code: Code) -> Result<(), Broken> {
        if !caller.is_waiting {
            return Ok(());
        }
        let mut body = Writer::default();
        body.number(attribute::STATUS, code as u32);
        body.number(attribute::OBJECT, caller.object);
        Ok(self.send(Kind::Status, caller.address, body)?)
    }

    /// Tells everybody who listens to events, and who has subscribed to the object.
    ///
    /// # Errors
    /// If it does not fit into one message; nothing is sent then.
    pub fn tell(&mut self, name: &str, data: &[u8]) -> Result<(), Broken> {
        let Some(object) = self.object else {
            return Ok(());
        };
        let mut event = Writer::default();
        let id = format!("{}.{name}", object::PATH);
        event.named(kind::TEXT, "id", |writer| writer.raw_text(&id));
        event.named(kind::TABLE, "data", |writer| writer.raw(data));
        self.invoke(Asked::Event, EVENTS, "send", &event.into_bytes())?;

        let mut body = Writer::default();
        body.number(attribute::OBJECT, object);
        body.text(attribute::METHOD, name);
        // No client waits for the subscribers, and no answer comes.
        body.bytes(attribute::NO_REPLY, &[1]);
        body.bytes(attribute::DATA, data);
        let address = Address {
            sequence: self.next_sequence(),
            peer: object,
        };
        Ok(self.send(Kind::Notify, address, body)?)
    }

    fn invoke(&mut self, asked: Asked, peer: u32, method: &str, data: &[u8]) -> Result<(), Broken> {
        let mut body = Writer::default();
        body.number(attribute::OBJECT, peer);
        body.text(attribute::METHOD, method);
        body.bytes(attribute::DATA, data);
        self.ask(asked, Kind::Invoke, peer, body)
    }

    fn ask(&mut self, asked: Asked, kind: Kind, peer: u32, body: Writer) -> Result<(), Broken> {
        let sequence = self.next_sequence();
        self.send(kind, Address { sequence, peer }, body)?;
        self.asked.insert(sequence, asked);
        Ok(())
    }

    fn send(&mut self, kind: Kind, address: Address, body: Writer) -> Result<(), Malformed> {
        let frame = Frame::encode(kind, address, &body.into_bytes())?;
        self.outgoing.extend(frame);
        Ok(())
    }

    /// Those that ubusd has left unanswered for 65,535 requests are forgotten by being replaced.
    fn next_sequence(&mut self) -> u16 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }
}

fn caller(address: Address, message: &Message<'_>) -> UbusClient {
    UbusClient {
        address,
        object: message.object.unwrap_or_default(),
        is_waiting: !message.no_reply,
    }
}

/// The object of ubusd that passes events on.
const EVENTS: u32 = 1;
/// The event with which ubusd tells of an object.
const OBJECT_ADDED: &str = "ubus.object.add";
