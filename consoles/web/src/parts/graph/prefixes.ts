// Addresses as text of bits, and the longest prefix that holds one. Names come from the network: what is no address is none.

const V4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** `4` or `6` and the bits of an address; null for anything else. An IPv4 address in IPv6 dress is an IPv4 address. */
export function bitsOf(text: string): string | null {
  const v4 = bitsOfV4(text);
  if (v4) return `4${v4}`;
  const v6 = text.includes(":") ? bitsOfV6(text) : null;
  if (v6 === null) return null;
  return v6.startsWith(MAPPED) ? `4${v6.slice(MAPPED.length)}` : `6${v6}`;
}

const MAPPED = "0".repeat(80) + "1".repeat(16);

function bitsOfV4(text: string): string | null {
  const parts = V4.exec(text)?.slice(1).map(Number);
  if (!parts || parts.some((part) => part > 255)) return null;
  return parts.map((part) => part.toString(2).padStart(8, "0")).join("");
}

function bitsOfV6(text: string): string | null {
  if (text.length > 45) return null;
  // An IPv4 tail stands for the last two groups.
  const last = text.slice(text.lastIndexOf(":") + 1);
  const tail = bitsOfV4(last);
  const groups = tail ? text.slice(0, -last.length) + [tail.slice(0, 16), tail.slice(16)].map((bits) => parseInt(bits, 2).toString(16)).join(":") : text;
  const halves = groups.split("::");
  if (halves.length > 2) return null;
  const [head = [], rest = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = [...head, ...Array.from({ length: halves.length === 2 ? missing : 0 }, () => "0"), ...rest];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return all.map((group) => parseInt(group, 16).toString(2).padStart(16, "0")).join("");
}

/** Prefixes by their bits: the longest that holds an address is found in as many steps as there are lengths. */
export class PrefixTable {
  private readonly byBits = new Map<string, string>();
  private lengths: number[] = [];

  /** Keeps `value` for `prefix` (`192.0.2.0/24`); false if that is no prefix. */
  add(prefix: string, value: string): boolean {
    const slash = prefix.indexOf("/");
    const bits = slash > 0 ? bitsOf(prefix.slice(0, slash)) : null;
    const length = Number(prefix.slice(slash + 1));
    if (bits === null || !/^\d{1,3}$/.test(prefix.slice(slash + 1)) || length > bits.length - 1) return false;
    this.byBits.set(bits.slice(0, length + 1), value);
    if (!this.lengths.includes(length)) this.lengths = [...this.lengths, length].sort((a, b) => b - a);
    return true;
  }

  /** The value of the longest prefix that holds the address with these bits. */
  find(bits: string | null): string | undefined {
    if (bits === null) return undefined;
    for (const length of this.lengths) {
      const found = length < bits.length ? this.byBits.get(bits.slice(0, length + 1)) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
