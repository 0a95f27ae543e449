// What of a hook only the platform can look at: signatures with public keys, multipart forms.

const ALGORITHMS = {
  ed25519: { name: "Ed25519", format: "raw" },
  "ecdsa-p256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256", format: "spki" },
};

/** Whether a signature holds. What is no key, or no signature, does not. */
export async function verifySignature(scheme, key, signature, message) {
  try {
    const { format, ...algorithm } = ALGORITHMS[scheme];
    const publicKey = await crypto.subtle.importKey(format, key, algorithm, false, ["verify"]);
    const bytes = scheme === "ecdsa-p256" ? plain(signature) : signature;
    return await crypto.subtle.verify(algorithm, publicKey, bytes, message);
  } catch {
    return false;
  }
}

/** The fields of a multipart form as JSON, files by name, type and size; nothing when it is none. */
export async function multipartFields(body, contentType) {
  try {
    const form = await new Response(body, { headers: { "content-type": contentType } }).formData();
    const fields = {};
    for (const name of new Set(form.keys())) {
      const values = form.getAll(name).map(described);
      Object.defineProperty(fields, name, { value: values.length === 1 ? values[0] : values, enumerable: true });
    }
    return JSON.stringify(fields);
  } catch {
    return undefined;
  }
}

function described(value) {
  return typeof value === "string" ? value : { name: value.name, type: value.type, size: value.size };
}

/** An ECDSA signature in DER (RFC 3279, section 2.2.3) as the two numbers one behind the other, of 32 bytes each. */
function plain(der) {
  const number = (at) => {
    const length = der[at + 1];
    const bytes = der.subarray(at + 2, at + 2 + length);
    const trimmed = bytes.subarray(Math.max(0, bytes.length - 32));
    const padded = new Uint8Array(32);
    padded.set(trimmed, 32 - trimmed.length);
    return [padded, at + 2 + length];
  };
  const [r, next] = number(2);
  const [s] = number(next);
  const both = new Uint8Array(64);
  both.set(r);
  both.set(s, 32);
  return both;
}
