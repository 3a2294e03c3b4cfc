// What the hub says in the detail of a problem (RFC 9457), where it says more than the status does.
import { type Form, wordsOf } from "./forms";

const forms: Form[] = [
  [/^(?:cannot be done: )?(?<field>text|title) is empty$/, "answer.empty"],
  [/^(?:cannot be done: )?(?<field>\w+) must be one line of at most (?<count>\d+) characters$/, "answer.line"],
  [/^(?:cannot be done: )?(?<field>\w+) must have at most (?<count>\d+) characters$/, "answer.long"],
  [/^(?:cannot be done: )?place is not on the Earth$/, "answer.place"],
  [/^the incident is closed$/, "answer.closed"],
  [/^it was closed too long ago to be opened again$/, "answer.tooLate"],
  [/^(?:.*: )?a name has letters, digits and \. _ @ - only$/, "answer.name"],
  [/^(?:.*: )?a name has 1 to 40 characters$/, "answer.nameLength"],
  [/^(?:.*: )?a password must have (?<least>\d+) characters or more, and (?<most>\d+) bytes at most$/, "answer.password"],
  [/^(?:.*: )?the role is not known$/, "answer.role"],
  [/^(?:.*: )?a token has no password$/, "answer.tokenPassword"],
  [/^there is an edge of that name$/, "answer.edgeTaken"],
  [/^this hub makes no tokens/, "answer.noTokens"],
  [/^this hub sends no webhooks$/, "answer.noWebhooks"],
  [/^next is not one that this list has given$/, "answer.next"],
  [/^from must be before to/, "answer.span"],
  [/^the hub is stopping, or the request was given up$/, "answer.stopping"],
  [/^validation failed: (?:body\.)?(?<field>\w+) (?<detail>.+)$/, "answer.validation"],
  // hub/internal/notify: a target's address and secret
  [/^expected a URL such as /, "admin.url.form"],
  [/^expected a URL that begins with https/, "admin.url.https"],
  [/^expected a URL without a user name/, "admin.url.user"],
  [/^expected a URL without #$/, "admin.url.hash"],
  [/^expected a port from 1 to 65535$/, "admin.url.port"],
  [/^expected a URL of at most 2000 characters$/, "admin.url.long"],
  [/^the address (?<address>\S+) is inside the network/, "admin.cause.inside"],
  [/^expected whsec_ and /, "admin.url.secret"],
];

/** A whole sentence, or null where the detail is of no known form. */
export const answerOf = (detail: string): string | null => wordsOf(detail, forms);
