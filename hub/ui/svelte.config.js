/** Runes everywhere, also where a component has none yet. */
export default { compilerOptions: { runes: true } };
