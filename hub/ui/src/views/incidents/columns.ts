// What the columns of the list are called.
import { t } from "../../i18n/i18n.svelte";
import type { Sort } from "./filter";

const keys = { severity: "incidents.column.severity", device: "incidents.column.where", occurred: "incidents.column.at", state: "incidents.column.state" } as const;

export const columnName = (column: Sort): string => t(keys[column]);
