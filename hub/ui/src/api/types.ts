// Short names for the types that the hub's own Go types make (schema.d.ts, by `npm run types`).
import type { components } from "./schema";

type Schemas = components["schemas"];

/** Where a thing stands; for a camera also what it sees. Degrees, metres; WGS-84. */
export type Place = Schemas["Place"];
export type Severity = Schemas["Incident"]["severity"];
export type IncidentState = Schemas["Incident"]["state"];
export type EvidenceFile = Schemas["EvidenceFile"];
export type ClipView = Schemas["ClipView"];
export type TimelineEntry = Schemas["TimelineEntry"];
// The description cannot say of an object that it may be null, the hub's answers can.
export type Incident = Omit<Schemas["Incident"], "place"> & { place: Place | null };
export type IncidentGroup = Schemas["IncidentGroup"];
export type Reading = Schemas["Reading"];
export type Title = Schemas["Title"];
export type LastReading = Schemas["LastReading"];
export type Rule = Schemas["Rule"];
export type Device = Omit<Schemas["DeviceRecord"], "place" | "reading"> & { place: Place | null; reading?: LastReading | null };
export type Edge = Schemas["EdgeRecord"];
export type Health = Schemas["EdgeHealth"];
export type Ranked = Schemas["Ranked"];
export type Session = Schemas["SessionBody"];
export type Role = Session["role"];
export type User = Schemas["User"];
export type TOTP = Schemas["TotpOutputBody"];
export type BeginTOTP = Schemas["BeginTOTPOutputBody"];
export type EnableTOTP = Schemas["EnableTOTPOutputBody"];
export type Token = Schemas["Token"];
export type View = Schemas["ViewRecord"];
export type Mute = Schemas["Mute"];
export type LiveSource = Schemas["LiveSource"];
export type Webhook = Schemas["Webhook"];
export type Delivery = Schemas["DeliveryRecord"];
export type Gap = Schemas["Gap"];
export type AuditEntry = Schemas["AuditEntry"];
export type AuditState = Schemas["AuditState"];
export type RosterEntry = Schemas["RosterEntry"];

export interface Nearby {
  nearby: Ranked[];
  sees: boolean; // any camera sees the place
  reason: string; // why none is good; "" if one is
  place: Place | null;
}

/** Severities from the mildest to the worst. */
export const severities = ["minor", "moderate", "severe", "extreme"] as const satisfies readonly Severity[];

/** 0..3; what sorts by how bad it is. */
export const rankOf = (s: Severity): number => severities.indexOf(s);

/** The key of a device over all edges, as addresses have it: "edge/device". */
export const deviceKey = (d: { edge: string; name: string }): string => `${d.edge}/${d.name}`;
