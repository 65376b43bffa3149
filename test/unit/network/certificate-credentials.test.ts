/** Goal: certificates that cannot be used are refused when they are given, and no name in one passes for another. */
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  CertificateCredentials,
  type CertificateOptions,
  subjectAltNames,
} from "../../../dist/src/network/certificate-credentials.js";
import { authority, leaf } from "../../fixtures/certificates.js";

const ours = authority("ours");
const good = { ...leaf(ours, "node", { names: ["DNS:node"] }), ca: ours.cert };
const other = leaf(ours, "other", { names: ["DNS:other"] });

describe("tls", () => {
  test("takes PEM as text and as bytes, and several authorities", () => {
    const bytes = new TextEncoder().encode(good.cert);
    expect(() => new CertificateCredentials(good)).not.toThrow();
    expect(() => new CertificateCredentials({ ...good, cert: bytes, ca: [ours.cert, bytes] })).not.toThrow();
    const bundle = `of ours\n${ours.cert}\nof another\n${good.cert}`;
    expect(() => new CertificateCredentials({ ...good, cert: good.cert + good.key, ca: bundle })).not.toThrow();
  });

  test.each<[string, Partial<CertificateOptions>, RegExp]>([
    ["without a key", { key: "" }, /key is missing/],
    ["without a certificate", { cert: undefined as unknown as string }, /cert is missing/],
    ["without an authority", { ca: [] }, /ca is missing/],
    ["with another's key", { key: other.key }, /tls.key with tls.cert cannot be used: .*key values mismatch/],
    ["with a key that is no PEM", { key: good.cert }, /tls.key, a private key in PEM, cannot be used: /],
    [
      "with a certificate that is no PEM",
      { cert: good.key },
      /tls.cert cannot be used: it holds no certificate in PEM/,
    ],
    ["with authorities that are no PEM", { ca: [ours.cert, "x"] }, /tls.ca cannot be used: it holds no certificate/],
    ["with half an authority", { ca: ours.cert.slice(0, 300) }, /tls.ca cannot be used: /],
    ["with half a second authority", { ca: ours.cert + ours.cert.slice(0, 300) }, /tls.ca cannot be used: /],
  ])("%s is refused", (_, change, text) => {
    expect(() => new CertificateCredentials({ ...good, ...change })).toThrow(
      expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT", message: expect.stringMatching(text) }),
    );
  });
});

test.each([
  [
    "DNS:a.example, URI:spiffe://x/y, IP Address:127.0.0.1",
    ["DNS=a.example", "URI=spiffe://x/y", "IP Address=127.0.0.1"],
  ],
  ['URI:"spiffe://x, DNS:root", DNS:b', ["URI=spiffe://x, DNS:root", "DNS=b"]],
  ['DNS:"a\\", URI:c", URI:d', ['DNS=a", URI:c', "URI=d"]],
  ["DNS:, URI:x", ["URI=x"]],
  ["", []],
])("%j names %j", (text, names) => {
  expect(subjectAltNames(text).map(({ kind, value }) => `${kind}=${value}`)).toEqual(names);
});

test("a name with a comma in it is one name, as Node.js writes it", () => {
  const { cert } = leaf(ours, "tricky", { names: ["URI:spiffe://x, DNS:root", "DNS:b"] });
  const written = new X509Certificate(cert).subjectAltName ?? "";
  expect(subjectAltNames(written)).toEqual([
    { kind: "URI", value: "spiffe://x, DNS:root" },
    { kind: "DNS", value: "b" },
  ]);
});
