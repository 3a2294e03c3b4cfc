// The main views, in the order of the rail.
import type { Role } from "../api/types";
import type { Key } from "../i18n/i18n.svelte";
import type { Route } from "../state/router.svelte";
import type { IconName } from "../ui/icons";

export interface PlaceInShell {
  id: string;
  path: string;
  label: Key;
  icon: IconName;
  keys: string;
  routes: Route["name"][];
  role: Role;
  phone: boolean; // on a phone's bar too
}

export const places: PlaceInShell[] = [
  { id: "incidents", path: "/incidents", label: "shell.go.incidents", icon: "incidents", keys: "g i", routes: ["incidents", "incident", "print"], role: "monitor", phone: true },
  { id: "map", path: "/map", label: "shell.go.map", icon: "map", keys: "g m", routes: ["map"], role: "monitor", phone: true },
  { id: "wall", path: "/wall", label: "shell.go.wall", icon: "wall", keys: "g v", routes: ["wall"], role: "dispatcher", phone: true },
  { id: "devices", path: "/devices", label: "shell.go.devices", icon: "devices", keys: "g d", routes: ["devices", "device"], role: "monitor", phone: true },
  { id: "report", path: "/report", label: "shell.go.report", icon: "report", keys: "g r", routes: ["report"], role: "dispatcher", phone: true },
  { id: "admin", path: "/admin/users", label: "shell.go.admin", icon: "admin", keys: "g a", routes: ["admin"], role: "administrator", phone: false },
];
