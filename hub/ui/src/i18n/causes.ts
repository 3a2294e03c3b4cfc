// Why a device is not online, and what is wrong with a box. Edges and the hub say it in English
// sentences; a sentence of a form that is not known is shown as it is. Every sentence that the Go code
// has is in testdata/said.json, and said.test.ts wants words for it.
import { type Form, wordsOf } from "./forms";
import { t } from "./i18n.svelte";

const forms: Form[] = [
  // streams/rtsp
  [/^the camera asks for a user name and password(?: \(401\))?$/, "cause.asks"],
  [/^the camera refuses the user name or password(?: \(401\))?$/, "cause.unauthorized"],
  [/^the camera refuses access(?: \(403\))?$/, "cause.forbidden"],
  [/^the camera knows no stream at this path(?: \(404\))?$/, "cause.noStream"],
  [/^the camera has no room for another viewer(?: \(\d+\))?$/, "cause.full"],
  [/^the camera serves neither TCP nor UDP as asked(?: \(461\))?$/, "cause.transport"],
  [/^the camera answers (?<status>\d+)(?: \(.*\))?$/, "cause.status"],
  [/^the camera offers no H\.264 or H\.265 video$/, "cause.noVideo"],
  [/^the camera ended the session$/, "cause.ended"],
  [/^the camera hung up$/, "cause.hungUp"],
  [/^the name (?<address>\S+) is not known$/, "cause.name"],
  [/^nothing answers at (?<address>\S+) \((?<why>connection refused|no route|timed out|no answer within [^)]+)\)$/, "cause.nothing"],
  [/^nothing answers at (?<address>\S+)$/, "cause.nothingAt"],
  [/^what answers at (?<address>\S+) does not speak RTSP, or too slowly$/, "cause.notRTSP"],
  [/^what answers at (?<address>\S+) is not understood$/, "cause.garbage"],
  [/^connected, but no pictures for (?<span>[\d.]+ ?m?s)$/, "cause.noPictures"],
  [/^connected, but no key picture within (?<span>[\d.]+ ?m?s)$/, "cause.noKey"],
  [/^connected, but nothing comes by UDP$/, "cause.udp"],
  // devices/mqtt, devices/broker
  [/^the name of the broker (?<address>\S+) is not known$/, "cause.brokerName"],
  [/^the broker at (?<address>\S+) refuses the user name or password$/, "cause.brokerUnauthorized"],
  [/^the broker at (?<address>\S+) refuses the client's name$/, "cause.brokerClient"],
  [/^the broker at (?<address>\S+) says that it is unavailable$/, "cause.brokerUnavailable"],
  [/^the broker at (?<address>\S+) closed the connection$/, "cause.brokerClosed"],
  [/^the certificate of the broker at (?<address>\S+) cannot be trusted: (?<certificate>.+)$/, "cause.brokerCertificate"],
  [/^the broker at (?<address>\S+): (?:subscribing: )?it refuses the topics (?<topics>.+)$/, "cause.brokerTopics"],
  [/^the broker at (?<address>\S+): (?:subscribing: )?no answer (?:within 16 s|to read)$/, "cause.brokerSilent"],
  [/^the broker at (?<address>\S+): more messages wait to be stored than can be held; starting again from the last one stored$/, "cause.brokerBehind"],
  [/^the broker at (?<address>\S+): (?:connection lost: |subscribing: )*the broker sends a packet of more than (?<bytes>\d+) bytes$/, "cause.brokerLong"],
  [/^the broker at (?<address>\S+): (?:subscribing: )?connection lost: .+$/, "cause.brokerLost"],
  [/^the broker at (?<address>\S+): (?<detail>.+)$/, "cause.brokerOther"],
  [/^listening for sensors: listen \w+ (?<address>\S+): bind: address already in use$/, "cause.portTaken"],
  [/^(?:listening for sensors|starting the broker): (?<detail>.+)$/, "cause.noBroker"],
  // edge/internal/app: sensors, and hub/internal/store
  [/^no reading for more than (?<span>\S+), expected every (?<every>[^\s;]+)$/, "cause.noReading"],
  [/^no reading since the edge started, expected every (?<every>[^\s;]+)$/, "cause.neverRead"],
  [/^not heard of since the edge started$/, "cause.unheard"],
  [/^its edge (?<edge>\S+) has not been heard of yet$/, "cause.edgeNever"],
  [/^its edge (?<edge>\S+) has not been heard of since (?<since>[\d-]+ [\d:]+) UTC$/, "cause.edgeSilent"],
  // detection/supervisor, by way of edge/internal/app: camera
  [/^(?<device>\S+): nothing is detected, because the stream for detection has no pictures: (?<cause>.+)$/, "box.noStream"],
  [/^(?<device>\S+): nothing is detected, because the worker stopped: (?<cause>.+)$/, "box.noDetection"],
  [/^(?<cause>(?:the worker|starting the worker).+); it has failed so often that the next try is only in (?<span>\S+)$/, "worker.seldom"],
  [/^the worker did not start: (?<cause>.+)$/, "worker.notStarted"],
  [/^the worker failed: (?<cause>.+)$/, "worker.failed"],
  [/^starting the worker: (?<detail>.+)$/, "worker.noProgram"],
  [/^(?<cause>it (?:aborted|ended|exited|was ended).*?), saying: (?<detail>.+)$/, "worker.saying"],
  [/^it aborted \(signal 6\), as native code does on input that it did not expect$/, "worker.aborted"],
  [/^it was ended by signal (?<signal>\d+) \(.*\)$/, "worker.signal"],
  [/^it exited with status (?<status>-?\d+)$/, "worker.exited"],
  [/^it ended$/, "worker.ended"],
  [/^it was not ready within (?<span>\S+)$/, "worker.slow"],
  [/^it gave no answer for (?<span>\S+) and was killed$/, "worker.hung"],
  [/^it gave up: (?<detail>.+)$/, "worker.gaveUp"],
  [/^.*: malformed message(?:: .*)?$/, "worker.malformed"],
  [/^the camera's stream was closed$/, "worker.closed"],
  // edge/internal/app: health, edge/internal/store
  [/^(?<count>\d+) alerts are lost, because they could not be kept for too long$/, "box.lost"],
  [/^(?<count>\d+) alerts are only in memory: (?<cause>.+)$/, "box.memory"],
  [/^readings cannot be kept and are not acknowledged: (?<cause>.+)$/, "box.readings"],
  [/^[a-z ]+: the disk is full(?: \(.*\))?$/, "box.full"],
  [/^saving [a-z ]+: (?<detail>.+)$/, "box.write"],
  [/^(?<file>\S+) was damaged and has been set aside as (?<aside>\S+); what it held has not all reached the hub$/, "box.damaged"],
  [/^there is no worker program on this edge: /, "box.noWorker"],
  [/^and (?<count>\d+) more$/, "box.more"],
  // edge/internal/uplink
  [/^nothing answers at the hub's address (?<address>\S+) \(connection refused\)$/, "box.hubNothing"],
  [/^the hub at (?<address>\S+) refuses this edge: /, "box.hubRefuses"],
  [/^the hub's name (?<address>\S+) is not known$/, "box.hubName"],
  [/^the certificate of the hub at (?<address>\S+) has ended, or this edge's clock is wrong$/, "box.hubEnded"],
  [/^the hub at (?<address>\S+) does not accept this edge's certificate: /, "box.hubCertificate"],
  [/^the hub at (?<address>\S+) does not answer \(timed out\)$/, "box.hubSilent"],
  [/^the hub at (?<address>\S+): the hub answers (?<status>\d+)/, "box.hubAnswers"],
  [/^the hub at (?<address>\S+) cannot be reached: (?<detail>.+)$/, "box.hubUnreachable"],
  [/^the hub has not been reached since the start$/, "box.hubNever"],
  [/^the edge's certificate cannot be renewed and ends on (?<date>[\d-]+): (?<cause>.+)$/, "box.renewal"],
];

/**
 * A cause in the reader's language. Edges join several by "; ", which a single sentence may have too:
 * as much as makes a sentence of a known form is one.
 */
export function causeOf(text: string): string {
  const parts = text.split("; ");
  const out: string[] = [];
  while (parts.length > 0) {
    let taken = parts.length;
    let words: string | null = null;
    for (; taken > 0 && words === null; taken -= 1) words = wordsOf(parts.slice(0, taken).join("; "), forms, causeOf);
    out.push(words ?? parts[0]!);
    parts.splice(0, words === null ? 1 : taken + 1);
  }
  return out.join(t("cause.and"));
}
