// The texts on the page whose contrast to their background is too low (WCAG 2.2, 1.4.3).
(() => {
  const rgba = (text) => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const mix = (over, under) => {
    const alpha = over[3] ?? 1;
    return over.slice(0, 3).map((value, place) => value * alpha + under[place] * (1 - alpha));
  };
  const canvas = matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark") ? [18, 18, 18] : [255, 255, 255];
  const background = (element) => {
    const under = element.parentElement ? background(element.parentElement) : canvas;
    return mix(rgba(getComputedStyle(element).backgroundColor), under);
  };
  const opacity = (element) => Number(getComputedStyle(element).opacity) * (element.parentElement ? opacity(element.parentElement) : 1);
  const faults = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || ["SCRIPT", "STYLE", "OPTION"].includes(element.tagName) || element.closest("svg, :disabled")) continue;
    const style = getComputedStyle(element);
    const under = background(element);
    const colour = rgba(style.color);
    colour[3] = (colour[3] ?? 1) * opacity(element);
    const [one, other] = [luminance(mix(colour, under)), luminance(under)];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faults.add(`${element.tagName}.${element.className} "${text.slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return [...faults];
})()
