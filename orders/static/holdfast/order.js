/* The order's page: another empty line for what is added to an order. The form is renewed now and then, so the button
is asked for where it is pressed, and shown where there is this script. */

const show = () => document.querySelectorAll("[data-another][hidden]").forEach((button) => (button.hidden = false));

document.addEventListener("click", ({ target }) => {
  if (!target.matches("[data-another]")) return;
  const lines = target.form.querySelector("[data-lines]");
  const line = lines.rows[lines.rows.length - 1].cloneNode(true);
  for (const field of line.querySelectorAll("input")) field.value = "";
  lines.append(line);
  line.querySelector("input").focus();
});

document.addEventListener("toggle", show, true);
show();
