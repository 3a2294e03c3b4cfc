// Copies without asking for a permission where the browser has none to give: a console on plain HTTP
// from another machine is no secure context, and has no clipboard interface at all.

/** Copies the text of a field. false: the text is selected, and the person must press Ctrl+C. */
export async function copyFrom(field: HTMLInputElement | HTMLTextAreaElement): Promise<boolean> {
  if (window.isSecureContext && "clipboard" in navigator) {
    try {
      await navigator.clipboard.writeText(field.value);
      return true;
    } catch {
      /* refused: the old way, which needs nothing but the click */
    }
  }
  field.focus();
  field.select();
  field.setSelectionRange(0, field.value.length);
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  }
}
