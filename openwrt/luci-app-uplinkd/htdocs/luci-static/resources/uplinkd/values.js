'use strict';
'require baseclass';

/* What an option may be, as the parser of uplinkd has it: `takes` follows on "must be", `accepts` is the verdict on
 * one word. tests/packaging/luci.rs holds both against the parser. */

const UNITS = {
	ns: 1e-9, nsec: 1e-9, nanos: 1e-9, us: 1e-6, usec: 1e-6, ms: 1e-3, msec: 1e-3, millis: 1e-3, s: 1, sec: 1, secs: 1, second: 1, seconds: 1,
	m: 60, min: 60, mins: 60, minute: 60, minutes: 60, h: 3600, hr: 3600, hrs: 3600, hour: 3600, hours: 3600,
	d: 86400, day: 86400, days: 86400, w: 604800, wk: 604800, wks: 604800, week: 604800, weeks: 604800,
	M: 2630016, month: 2630016, months: 2630016, y: 31557600, yr: 31557600, yrs: 31557600, year: 31557600, years: 31557600
};
const BYTES = { TB: 1e12, GB: 1e9, MB: 1e6, kB: 1e3, B: 1 };
const WITH_PORTS = [ 'tcp', 'udp', 'sctp', 'dccp', 6, 17, 33, 132 ];

/* A duration such as "1m 30s" in seconds. */
function seconds(text) {
	if (text === '0')
		return 0;
	if (!/^\s*(\d+(\.\d+)?\s*[A-Za-z]+\s*)+$/.test(text))
		return NaN;
	return text.match(/[\d.]+\s*[A-Za-z]+/g).reduce((sum, part) => {
		const [ , number, unit ] = part.match(/^([\d.]+)\s*([A-Za-z]+)$/);
		return sum + number * (Object.hasOwn(UNITS, unit) ? UNITS[unit] : NaN);
	}, 0);
}

/* An amount of data such as "50MB" in bytes. */
function bytes(text) {
	const [ , number, unit ] = text.match(/^(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$/) || [];
	return Object.hasOwn(BYTES, unit) ? number * BYTES[unit] : NaN;
}

/* A whole number, decimal or hexadecimal. */
function integer(text) {
	return /^-?\d+$/.test(text) || /^0x[0-9a-f]{1,8}$/i.test(text) && text[1] === 'x' ? Number(text) : NaN;
}

function decimal(text) {
	return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

/* The bytes of an address. */
function ipv4(text) {
	const parts = text.split('.');
	const isGood = parts.length === 4 && parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part) && part < 256);
	return isGood ? parts.map(Number) : null;
}

function ipv6(text) {
	const [ , head, last ] = text.match(/^(.*:)(\d+\.\d+\.\d+\.\d+)$/) || [];
	const v4 = head ? ipv4(last) : null;
	if (head && !v4)
		return null;
	const pair = (a, b) => (a * 256 + b).toString(16);
	const plain = v4 ? `${head}${pair(v4[0], v4[1])}:${pair(v4[2], v4[3])}` : text;
	const halves = plain.split('::').map(half => half === '' ? [] : half.split(':'));
	const given = halves.flat();
	const isGood = given.every(group => /^[0-9a-f]{1,4}$/i.test(group)) &&
		(halves.length === 2 ? given.length < 8 : halves.length === 1 && given.length === 8);
	if (!isGood)
		return null;
	const zeros = Array(8 - given.length).fill('0');
	return [ ...halves[0], ...zeros, ...(halves[1] || []) ].flatMap(group => {
		const value = parseInt(group, 16);
		return [ value >> 8, value & 255 ];
	});
}

const address = text => ipv4(text) || ipv6(text);

/* It can be one host, and not this machine. */
function isHost(octets) {
	if (octets.length === 4)
		return octets[0] !== 0 && octets[0] !== 127 && (octets[0] & 0xf0) !== 0xe0 && octets.join('.') !== '255.255.255.255';
	const head = octets.slice(0, 10).every(octet => octet === 0);
	const isMapped = head && octets[10] === 255 && octets[11] === 255;
	const isLow = octets.slice(0, 15).every(octet => octet === 0) && octets[15] < 2;
	return !isMapped && !isLow && octets[0] !== 0xff;
}

const isLinkLocal = octets => octets.length === 16 && octets[0] === 0xfe && (octets[1] & 0xc0) === 0x80;
const isGlobalHost = octets => octets !== null && isHost(octets) && !isLinkLocal(octets);

/* The bytes and the length of a prefix that has no bits beyond its length, or of an address. */
function prefix(text, mustHaveLength) {
	const [ , base, length ] = text.match(/^([^\/]*)(?:\/(\d{1,3}))?$/) || [];
	const octets = base === undefined ? null : address(base);
	if (!octets || length === undefined)
		return octets && !mustHaveLength ? { octets, length: octets.length * 8 } : null;
	const isWhole = octets.every((octet, place) => {
		const kept = Math.max(0, Math.min(8, length - place * 8));
		return (octet & (255 >> kept)) === 0;
	});
	return length > 0 && length <= octets.length * 8 && isWhole ? { octets, length: +length } : null;
}

/* The host and the port of `ADDRESS:PORT`. */
function socketAddress(text) {
	const [ , inner, plain, port ] = text.match(/^(?:\[([^\]]*)\]|([^:\[\]]*)):(\d+)$/) || [];
	const octets = inner !== undefined ? ipv6(inner) : plain !== undefined ? ipv4(plain) : null;
	return octets && port > 0 && port < 65536 ? octets : null;
}

const isLoopback = octets => octets.length === 4 ? octets[0] === 127 : octets.join() === '0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1';
const byteLength = text => new TextEncoder().encode(text).length;
const isPath = text => text.startsWith('/');
const isSocket = text => isPath(text) && !text.endsWith('/') && byteLength(text) <= 107;
const isFile = text => isPath(text) && !text.endsWith('/');
const isInterface = text => byteLength(text) <= 15 && /^[^\/:\s\0]+$/.test(text) && text !== '.' && text !== '..';

/* A name of DNS. */
function isHostName(text) {
	const plain = text.replace(/\.$/, '');
	return text === '.' || plain.length <= 253 && plain.split('.').every(label => /^[A-Za-z0-9_-]{1,63}$/.test(label));
}

/* The address that a target leads to, `true` for a name, and null where it is neither. */
function hostOf(text) {
	if (text.startsWith('['))
		return text.endsWith(']') ? ipv6(text.slice(1, -1)) : null;
	const isName = isHostName(text) && text !== '.' && !/^(.*\.)?\d*$/.test(text.replace(/\.$/, ''));
	return ipv4(text) || (isName ? true : null);
}

function endpoint(text, usualPort) {
	const [ , host, port ] = text.match(/^(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?$/) || [];
	if (host === undefined || port === undefined && !usualPort)
		return null;
	return port === undefined || /^\d+$/.test(port) && port > 0 && port < 65536 ? hostOf(host) : null;
}

function isExpectation(text) {
	const seen = [];
	return text.split('&').filter(item => item !== '').every(item => {
		const [ , key, value ] = item.match(/^([^=]*)=?([^]*)$/);
		const isTwice = seen.includes(key);
		seen.push(key);
		if (key === 'status')
			return !isTwice && /^\d{3}$/.test(value) && value >= 200 && value < 600;
		try {
			const length = byteLength(decodeURIComponent(value));
			return key === 'text' && !isTwice && length >= 1 && length <= 256;
		}
		catch (error) {
			return false;
		}
	});
}

function isTarget(text) {
	const [ , scheme, rest ] = text.match(/^([^:]*):\/\/([^]*)$/) || [];
	let host = null;
	if (scheme === undefined) {
		host = address(text);
	}
	else if (scheme === 'tcp') {
		host = endpoint(rest);
	}
	else if (scheme === 'http') {
		const [ , server, path, , expected ] = rest.match(/^([^\/?#]*)([^#]*)(#([^]*))?$/);
		host = /^[!-~]*$/.test(path) && isExpectation(expected || '') ? endpoint(server, 80) : null;
	}
	else if (scheme === 'dns') {
		const [ , server, name, , type ] = rest.match(/^([^\/]*)\/([^?]*)(\?([^]*))?$/) || [];
		const isQuestion = name && isHostName(name) && /^(type=(a|aaaa|ns|soa|mx|txt))?$/i.test(type || '');
		host = isQuestion && !/^TYPE/.test(type || '') ? endpoint(server, 53) : null;
		host = host === true ? null : host;
	}
	return host === true || isGlobalHost(host);
}

function gateway(length) {
	return text => {
		const octets = address(text);
		return text === 'auto' || text === 'none' || octets !== null && octets.length === length && isHost(octets);
	};
}

function isDelegated(text) {
	const net = prefix(text, true);
	return net !== null && net.octets.length === 16 && isHost(net.octets) && !isLinkLocal(net.octets);
}

function isPorts(text) {
	const [ first, last ] = text.match(/^([^-]*)(?:-([^]*))?$/).slice(1).map(part => part === undefined ? undefined : part.trim());
	const isPort = part => /^\+?\d+$/.test(part) && part > 0 && part < 65536;
	return isPort(first) && (last === undefined || isPort(last) && +first <= +last);
}

/* A mark of 32 bits. */
function mark(text) {
	const value = /^0x[0-9a-f]+$/i.test(text) && text[1] === 'x' || /^\+?\d+$/.test(text) ? Number(text) : NaN;
	return value < 2 ** 32 ? value : NaN;
}

function isMarks(text) {
	const [ first, mask ] = text.match(/^([^\/]*)(?:\/([^]*))?$/).slice(1);
	const [ value, bits ] = [ mark(first), mask === undefined ? 0xffffffff : mark(mask) ];
	return value > 0 && bits > 0 && ((value & bits) >>> 0) === value;
}

function areBits(text) {
	const bits = Number.isNaN(mark(text)) ? '' : mark(text).toString(2);
	return /^11+0*$/.test(bits);
}

const DAYS = [ 'mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun' ];

/* "sun", "mon-fri", or several of them with commas. */
function areDays(text) {
	return text.split(',').every(part => part.split('-').length <= 2 && part.split('-').every(day => DAYS.includes(day.toLowerCase())));
}

/* A time on some days of the week, such as "mon-fri 04:00". */
function isWeekly(text) {
	const words = text.trim().split(/\s+/);
	return words.length <= 2 && /^([01]\d|2[0-3]):[0-5]\d$/.test(words[words.length - 1]) &&
		(words.length < 2 || areDays(words[0]));
}

/* Hours of the week, such as "mon-fri 08:00-18:00", "sat,sun", or several in a row. */
function areHours(text) {
	const words = text.trim().split(/\s+/).map(word => word.replace(/,+$/, ''));
	const isTime = text => /^([01]\d|2[0-3]):[0-5]\d$/.test(text);
	const isSpan = word => {
		const [ from, to, ...more ] = word.split('-');
		return !more.length && isTime(from) && (isTime(to) || to === '24:00') && from !== to;
	};
	return words.every(word => isSpan(word) || areDays(word));
}

/* Kinds of options. */

const range = (least, most) => _('%s to %s').format(least, most);

const duration = (least, most) => ({
	takes: range(least, most),
	accepts: text => seconds(text) >= seconds(least) && seconds(text) <= seconds(most)
});

const orAuto = kind => ({
	takes: _('"auto" or a duration, %s').format(kind.takes),
	accepts: text => text === 'auto' || kind.accepts(text)
});

const whole = (...bounds) => ({
	takes: bounds.map(([ least, most ]) => range(least, most)).join(_(' or ')),
	accepts: text => bounds.some(([ least, most ]) => integer(text) >= least && integer(text) <= most)
});

const number = (least, most) => ({
	takes: range(least, most),
	accepts: text => decimal(text) >= least && decimal(text) <= most
});

const percent = least => ({
	takes: _('%s to 100 percent').format(least),
	accepts: text => decimal(text) >= least && decimal(text) <= 100
});

const data = (least, most) => ({
	takes: range(least, most),
	accepts: text => bytes(text) >= bytes(least) && bytes(text) <= bytes(most)
});

const dataOrOff = (least, most) => ({
	takes: _('"off" or %s').format(range(least, most)),
	accepts: text => text === 'off' || data(least, most).accepts(text)
});

const words = (...known) => ({
	words: known,
	takes: known.map(word => `"${word}"`).join(_(' or ')),
	accepts: text => known.includes(text)
});

const list = (kind, least, most) => ({
	...kind,
	isList: true,
	least: least,
	most: most,
	each: kind.takes,
	takes: _('a list, each %s').format(kind.takes)
});

const own = (takes, accepts) => ({ takes: takes, accepts: accepts });

/* A list of which the parser tells as a whole what it may be. */
const ownList = (takes, least, accepts) => ({ isList: true, mayRepeat: true, least: least, most: Infinity, takes: takes, accepts: accepts });

const net = own(_('a prefix such as "192.168.1.0/24", or an address'), text => prefix(text) !== null);

const PROTOCOLS = [ 'tcp', 'udp', 'icmp', 'icmpv6', 'sctp', 'dccp', 'gre', 'esp', 'ah' ];

return baseclass.extend({
	seconds: seconds,
	isLoopback: text => isLoopback(socketAddress(text)),
	hasPorts: protocol => WITH_PORTS.includes(protocol) || WITH_PORTS.includes(integer(protocol)),

	duration: duration,
	orAuto: orAuto,
	whole: whole,
	number: number,
	percent: percent,
	data: data,
	dataOrOff: dataOrOff,
	words: words,
	list: list,

	flag: {
		isFlag: true,
		takes: _('true or false'),
		accepts: text => [ '1', 'on', 'yes', 'true', 'enabled', '0', 'off', 'no', 'false', 'disabled' ].includes(text)
	},
	name: own(_('1 to 32 letters, digits, `_`, `-` or `.`'), text => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/.test(text)),
	interface: own(_('the name of a network interface'), isInterface),
	network: own(_('the name of a network'), isInterface),
	target: own(_('an address, or a target with a scheme such as tcp://HOST:PORT'), isTarget),
	resolver: own(_('the address of a name server beyond this machine'), text => isGlobalHost(address(text))),
	net: net,
	nets: ownList(_('a prefix such as "192.168.1.0/24", an address, or a list of them'), 1, net.accepts),
	gateway: own(_('"auto", "none" or the IPv4 address of a router'), gateway(4)),
	gateway6: own(_('"auto", "none" or the IPv6 address of a router'), gateway(16)),
	/* One option, as `auto` is no item of a list. */
	prefixes: { ...ownList(_('"auto" or a list of IPv6 prefixes'), 0, isDelegated), words: [ 'auto', 'none' ] },
	protocol: own(_('a name such as "udp", or 1 to 255'),
		text => PROTOCOLS.includes(text) || integer(text) >= 1 && integer(text) <= 255),
	ports: own(_('a port from 1 to 65535, or a range such as "5060-5080"'), isPorts),
	marks: own(_('a mark such as "0x10", or "0x10/0xff" with all its bits in the mask'), isMarks),
	markBits: own(_('two bits or more in a row, such as "0xff000000"'), areBits),
	socket: own(_('an absolute path of at most 107 bytes'), isSocket),
	directory: own(_('an absolute path'), isPath),
	fileOrOff: own(_('"off" or the absolute path of a file'), text => text === 'off' || isFile(text)),
	ubus: own(_('"auto", "off" or the absolute path of a socket'),
		text => text === 'auto' || text === 'off' || isSocket(text)),
	schedule: own(_('"off" or a local time such as "sun 03:30", "mon-fri 04:00" or "04:00"'),
		text => text === 'off' || isWeekly(text)),
	/* One field, in which the items of a list stand in a row. */
	hours: { joined: ', ', ...own(_('"always", local hours such as "mon-fri 08:00-18:00", "22:00-06:00" or "sat,sun", or a list of them'),
		text => Array.isArray(text) ? text.every(areHours) : text === 'always' || areHours(text)) },
	web: own(_('"off" or an address with a port, such as "127.0.0.1:9465"'),
		text => text === 'off' || socketAddress(text) !== null),
	metrics: own(_('"off", an address of this machine itself such as "127.0.0.1:9464", "unix:PATH" or "file:PATH"'),
		text => text === 'off' || text.startsWith('unix:') && isSocket(text.slice(5)) ||
			text.startsWith('file:') && isFile(text.slice(5)) ||
			socketAddress(text) !== null && isLoopback(socketAddress(text))),
	/* The name of a section of this type. */
	nameOf: (type, what) => ({ namesOf: type, takes: _('the name of %s').format(what), accepts: () => true })
});
