// Before the first paint: the remembered theme, else the system's (tokens.css follows it by itself).
(function () {
  try {
    var theme = localStorage.getItem("holm.theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be refused; then the system's theme stands.
  }
})();
