// Light, dark, or as the system is.

const KEY = "gracetrace-theme";
const NAMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

/** Makes a button that goes through them. */
export function theme(button) {
  const next = { auto: "dark", dark: "light", light: "auto" };
  let chosen = "auto";
  try {
    chosen = localStorage.getItem(KEY) ?? "auto";
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
  if (!(chosen in NAMES)) chosen = "auto";
  const apply = () => {
    document.documentElement.dataset.theme = chosen;
    button.textContent = { auto: "◐", light: "☀", dark: "☾" }[chosen];
    button.title = NAMES[chosen];
    button.setAttribute("aria-label", NAMES[chosen]);
  };
  button.addEventListener("click", () => {
    chosen = next[chosen];
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // As above.
    }
    apply();
  });
  apply();
}
