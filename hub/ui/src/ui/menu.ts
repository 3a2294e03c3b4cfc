import type { IconName } from "./icons";

/** One line of a Menu. */
export interface MenuItem {
  id: string;
  label: string;
  icon?: IconName | undefined;
  checked?: boolean; // of a choice
  danger?: boolean;
  disabled?: boolean;
  run: () => void;
}
