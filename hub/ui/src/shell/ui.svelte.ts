// What of the shell is open.
class ShellState {
  passwordOpen = $state(false);
  totpOpen = $state(false);
}

export const shell = new ShellState();
