// A collector of prometheus-node-exporter-ucode. It hands on the metrics of uplinkd as they are, from where
// `agent_metrics` in /etc/config/uplinkd offers them, or `option metrics` in `config collector 'uplinkd'` of
// the exporter. In the exporter's jail that must be an address: other sockets and files are not to be seen there.

const PATIENCE_MS = 5000;
// The agent writes its file once a minute at least.
const STALE_AFTER_S = 180;

function from_file(path) {
	return time() - (fs.stat(path)?.mtime ?? 0) < STALE_AFTER_S ? fs.readfile(path) : null;
}

function from_socket(host, port) {
	const socket = require("socket");
	const peer = socket.connect(host, port, null, PATIENCE_MS);
	if (!peer?.send("GET /metrics HTTP/1.0\r\n\r\n"))
		return null;

	let answer = "", part;
	while (socket.poll(PATIENCE_MS, peer)?.[0]?.[1] && length(part = peer.recv(65536)))
		answer += part;

	peer.close();

	const parts = split(answer, "\r\n\r\n", 2);
	return match(parts[0], /^HTTP\/1\.[01] 200 /) ? parts[1] : null;
}

let place = config?.metrics;
if (!place)
	require("uci").cursor().foreach("uplinkd", "globals", section => { place ??= section.agent_metrics; });

// There is nothing to collect, which is no failure.
if (!place || place == "off")
	return;

const path = match(place, /^(file|unix):(.*)$/);
const address = match(place, /^\[?([^]]*)\]?:([0-9]+)$/);
const text = path?.[1] == "file" ? from_file(path[2]) : path ? from_socket(path[2]) : from_socket(address?.[1], address?.[2]);
if (!text)
	return false;

// Not by `gauge` and `counter` of the exporter, which know no histograms.
global.uhttpd ? global.uhttpd.send(text) : print(text);
