// The component of every page except the chat.

export default function ({ data }) {
  const state = (window.parley ??= { texts: {}, report: () => {}, say: () => {} });
  themeOverlays(state);
  addStyleOnce("parley-every-page", EVERY_PAGE_STYLE);
  setDirections(state);
  keepFocus(state);
  joinToolbars(state);
  takeTypedDates(state);
  if (data.tables) letTablesScroll(state);
}
