/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/public_key.h"

#include <openssl/bn.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/der.h"
#include "pki/key.h"
#include "pki/pem.h"

enum {
        ED25519_SIZE = 32,
        RSA_EXPONENT_MIN = 65537,      /* with smaller exponents, padding mistakes of the signer allow forgeries */
        RSA_EXPONENT_MAX = 0x7fffffff, /* larger exponents are not supported by other programs, such as those in Go */
        PRIME_TRIALS_BELOW = 256,      /* a modulus with a smaller factor is damaged or deliberately weak */
        SSH_TYPE_MAX = 64,
};

/* The encodings of a kind of key, and its curve y² = x³ - 3x + b mod p (SEC 2). */
struct kind_row {
        const char *name;
        struct str ssh_type, ssh_cert_type, ssh_curve;
        struct oid algorithm, curve_oid;
        size_t field_size; /* bytes of a coordinate */
        const BIGNUM *(*p)(void);
        int (*reduce)(BIGNUM *r, const BIGNUM *a, const BIGNUM *p, BN_CTX *ctx); /* modulo p, whose form makes it fast */
        const char *b;
};

static const struct kind_row kinds[] = {
        [PUBLIC_KEY_P256] = {
                .name = "P-256",
                .ssh_type = STR_INIT("ecdsa-sha2-nistp256"),
                .ssh_cert_type = STR_INIT("ecdsa-sha2-nistp256-cert-v01@openssh.com"),
                .ssh_curve = STR_INIT("nistp256"),
                .algorithm = OID_INIT(1, 2, 840, 10045, 2, 1),
                .curve_oid = OID_INIT(1, 2, 840, 10045, 3, 1, 7),
                .field_size = 32,
                .p = BN_get0_nist_prime_256,
                .reduce = BN_nist_mod_256,
                .b = "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B",
        },
        [PUBLIC_KEY_P384] = {
                .name = "P-384",
                .ssh_type = STR_INIT("ecdsa-sha2-nistp384"),
                .ssh_cert_type = STR_INIT("ecdsa-sha2-nistp384-cert-v01@openssh.com"),
                .ssh_curve = STR_INIT("nistp384"),
                .algorithm = OID_INIT(1, 2, 840, 10045, 2, 1),
                .curve_oid = OID_INIT(1, 3, 132, 0, 34),
                .field_size = 48,
                .p = BN_get0_nist_prime_384,
                .reduce = BN_nist_mod_384,
                .b = "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE814112"
                     "0314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF",
        },
        [PUBLIC_KEY_ED25519] = {
                .name = "Ed25519",
                .ssh_type = STR_INIT("ssh-ed25519"),
                .ssh_cert_type = STR_INIT("ssh-ed25519-cert-v01@openssh.com"),
                .algorithm = OID_INIT(1, 3, 101, 112),
        },
        [PUBLIC_KEY_RSA] = {
                .name = "RSA",
                .ssh_type = STR_INIT("ssh-rsa"),
                .ssh_cert_type = STR_INIT("ssh-rsa-cert-v01@openssh.com"),
                .algorithm = OID_INIT(1, 2, 840, 113549, 1, 1, 1),
        },
};

/* ---- checks of keys --------------------------------------------------------------------------------- */

/*
 * Whether x and y satisfy the curve's equation. The cofactor of both curves is one, so a point on the
 * curve other than infinity (which this encoding cannot express) is a valid key (SEC 1 section 3.2.2.1).
 * With OpenSSL, an EC_GROUP would be built for each key, which takes ten times longer.
 */
static bool is_on_curve(const struct kind_row *row, struct str x_bytes, struct str y_bytes)
{
        BN_CTX *ctx = BN_CTX_new();
        bool is_on = false;

        if (ctx == NULL)
                bug("out of memory");
        BN_CTX_start(ctx);
        BIGNUM *b = BN_CTX_get(ctx), *x = BN_CTX_get(ctx), *y = BN_CTX_get(ctx);
        BIGNUM *three = BN_CTX_get(ctx), *left = BN_CTX_get(ctx), *right = BN_CTX_get(ctx);
        const BIGNUM *p = row->p();

        if (right == NULL || BN_hex2bn(&b, row->b) == 0 || !BN_set_word(three, 3) ||
            BN_bin2bn(str_bytes(x_bytes), (int)x_bytes.len, x) == NULL ||
            BN_bin2bn(str_bytes(y_bytes), (int)y_bytes.len, y) == NULL)
                bug("out of memory");
        if (BN_cmp(x, p) >= 0 || BN_cmp(y, p) >= 0)
                goto out;
        /* left = y² - b; right = x (x² - 3) */
        if (!BN_sqr(left, y, ctx) || !row->reduce(left, left, p, ctx) || !BN_mod_sub_quick(left, left, b, p) ||
            !BN_sqr(right, x, ctx) || !row->reduce(right, right, p, ctx) || !BN_mod_sub_quick(right, right, three, p) ||
            !BN_mul(right, right, x, ctx) || !row->reduce(right, right, p, ctx))
                bug("out of memory");
        is_on = BN_cmp(left, right) == 0;
out:
        BN_CTX_end(ctx);
        BN_CTX_free(ctx);
        return is_on;
}

static struct error *check_point(const struct kind_row *row, struct str point)
{
        if (point.len > 0 && (point.ptr[0] == 2 || point.ptr[0] == 3))
                return error_new(ERROR_INVALID_ARGUMENT, "the %s key is in compressed form, which is not used here",
                                 row->name);
        if (point.len != 1 + 2 * row->field_size || point.ptr[0] != 4)
                return error_new(ERROR_INVALID_ARGUMENT, "the %s key has %zu bytes instead of %zu", row->name,
                                 point.len, 1 + 2 * row->field_size);
        if (!is_on_curve(row, str_slice(point, 1, row->field_size),
                         str_slice(point, 1 + row->field_size, row->field_size)))
                return error_new(ERROR_INVALID_ARGUMENT, "the %s key is not a point on its curve", row->name);
        return NULL;
}

/*
 * In Ed25519 any 32 bytes are a key. Points of small order are refused, since a signature under them
 * proves nothing, and coordinates from 2^255 - 19 on, which are duplicates of other keys.
 */
static struct error *check_ed25519(struct str bytes)
{
        static const uint8_t small_order[][ED25519_SIZE] = {
                /* y, least significant byte first, without the sign of x */
                { 0 },
                { 1 },
                { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
                  0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
                { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
                  0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
                { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
        };
        uint8_t y[ED25519_SIZE];

        if (bytes.len != sizeof y)
                return error_new(ERROR_INVALID_ARGUMENT, "the Ed25519 key has %zu bytes instead of %zu", bytes.len,
                                 sizeof y);
        memcpy(y, bytes.ptr, sizeof y);
        y[ED25519_SIZE - 1] &= 0x7f;
        for (size_t i = 0; i < ARRAY_LEN(small_order); i++)
                if (memcmp(y, small_order[i], sizeof y) == 0)
                        return error_new(ERROR_INVALID_ARGUMENT, "the Ed25519 key is a point of small order");

        bool is_above = y[0] >= 0xed && y[ED25519_SIZE - 1] == 0x7f;
        for (size_t i = 1; i < ED25519_SIZE - 1; i++)
                is_above = is_above && y[i] == 0xff;
        if (is_above)
                return error_new(ERROR_INVALID_ARGUMENT, "the Ed25519 key is not in its canonical form");
        return NULL;
}

static bool is_small_prime(unsigned n)
{
        for (unsigned d = 2; d * d <= n; d++)
                if (n % d == 0)
                        return false;
        return n >= 2;
}

/*
 * The first prime below PRIME_TRIALS_BELOW that divides the number, or 0. Several primes share one pass
 * over the bytes.
 */
static unsigned small_factor(struct str number)
{
        for (unsigned first = 2; first < PRIME_TRIALS_BELOW;) {
                uint32_t product = 1;
                unsigned end = first;

                for (; end < PRIME_TRIALS_BELOW && product < (UINT32_MAX / PRIME_TRIALS_BELOW); end++)
                        if (is_small_prime(end))
                                product *= end;
                uint64_t rest = 0;
                for (size_t i = 0; i < number.len; i++)
                        rest = (rest << 8 | (uint8_t)number.ptr[i]) % product;
                for (unsigned n = first; n < end; n++)
                        if (is_small_prime(n) && rest % n == 0)
                                return n;
                first = end;
        }
        return 0;
}

/* Both numbers have no leading zeros. */
static struct error *check_rsa(struct str modulus, struct str exponent)
{
        size_t bits = modulus.len == 0 ? 0 : modulus.len * 8;
        uint64_t e = 0;

        for (unsigned high = modulus.len == 0 ? 0x80 : (uint8_t)modulus.ptr[0]; high < 0x80; high <<= 1)
                bits--;
        if (bits < LIMIT_RSA_BITS_MIN || bits > LIMIT_RSA_BITS_MAX)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the RSA key has %zu bits", bits),
                                  "use one of %d to %d bits, or better an ECDSA P-256 or Ed25519 key",
                                  LIMIT_RSA_BITS_MIN, LIMIT_RSA_BITS_MAX);
        for (size_t i = 0; i < exponent.len && exponent.len <= sizeof(uint32_t); i++)
                e = e << 8 | (uint8_t)exponent.ptr[i];
        if (e < RSA_EXPONENT_MIN || e > RSA_EXPONENT_MAX || e % 2 == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the RSA key's exponent is not an odd number from %d to %d",
                                 RSA_EXPONENT_MIN, RSA_EXPONENT_MAX);
        unsigned factor = small_factor(modulus);
        if (factor != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the RSA key's modulus is divisible by %u", factor);
        return NULL;
}

static struct error *check(const struct public_key *key)
{
        switch (key->kind) {
        case PUBLIC_KEY_P256:
        case PUBLIC_KEY_P384:
                return check_point(&kinds[key->kind], key->point);
        case PUBLIC_KEY_ED25519:
                return check_ed25519(key->point);
        case PUBLIC_KEY_RSA:
                return check_rsa(key->modulus, key->exponent);
        }
        bug("a public key of kind %d", (int)key->kind);
}

/* ---- SubjectPublicKeyInfo --------------------------------------------------------------------------- */

static const char unknown_kind[] = "use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits";

/* RSAPublicKey (RFC 8017 section A.1.1). */
static void read_rsa_numbers(struct reader *r, struct public_key *key)
{
        struct reader numbers = der_enter(r, DER_SEQUENCE);

        key->modulus = der_get_unsigned(&numbers);
        key->exponent = der_get_unsigned(&numbers);
        der_leave(r, &numbers);
}

/* The kind of key of an AlgorithmIdentifier; its parameters must be those that its RFC requires. */
static bool kind_of_algorithm(struct reader *r, enum public_key_kind *ret)
{
        struct str algorithm = der_get_oid(r);

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                if (!der_oid_is(algorithm, kinds[i].algorithm))
                        continue;
                *ret = (enum public_key_kind)i;
                if (*ret == PUBLIC_KEY_ED25519) /* none (RFC 8410 section 3) */
                        return true;
                if (*ret == PUBLIC_KEY_RSA) { /* NULL (RFC 3279 section 2.3.1) */
                        if (!str_is_empty(der_get(r, DER_NULL)))
                                reader_fail(r, "an RSA key with parameters");
                        return true;
                }
                struct reader check = *r;
                if (der_oid_is(der_get_oid(&check), kinds[i].curve_oid)) { /* a named curve (RFC 5480 section 2.1.1) */
                        *r = check;
                        return true;
                }
        }
        return false;
}

struct error *public_key_of_spki(struct str der, struct public_key *ret)
{
        struct public_key key = { 0 };

        if (der.len > PUBLIC_KEY_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the public key has %zu bytes; no key we accept has so many",
                                 der.len);
        struct reader r = reader_over(der);
        struct reader info = der_enter(&r, DER_SEQUENCE);
        struct reader algorithm = der_enter(&info, DER_SEQUENCE);
        bool is_known = kind_of_algorithm(&algorithm, &key.kind);
        if (!is_known && reader_ok(&algorithm))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the public key is of a kind that is not accepted, "
                                                                    "or it is not a public key"),
                                  "%s", unknown_kind);
        der_leave(&info, &algorithm);
        struct str bits = der_get_bits(&info);
        der_leave(&r, &info);
        TRY(reader_finish(&r, "the public key"));

        if (key.kind == PUBLIC_KEY_RSA) {
                struct reader inner = reader_over(bits);

                read_rsa_numbers(&inner, &key);
                TRY(reader_finish(&inner, "the RSA public key"));
        } else {
                key.point = bits;
        }
        TRY(check(&key));
        *ret = key;
        return NULL;
}

void public_key_put_bits(const struct public_key *key, struct buf *out)
{
        if (key->kind != PUBLIC_KEY_RSA) {
                buf_put(out, key->point);
                return;
        }
        struct der d = der_over(out);
        der_begin(&d, DER_SEQUENCE);
        der_put_unsigned(&d, key->modulus);
        der_put_unsigned(&d, key->exponent);
        der_end(&d);
}

void public_key_put_spki(const struct public_key *key, struct buf *out)
{
        const struct kind_row *row = &kinds[key->kind];
        AUTO(buf) bits = BUF_MAX(PUBLIC_KEY_MAX);
        struct der d = der_over(out);

        public_key_put_bits(key, &bits);
        der_begin(&d, DER_SEQUENCE);
        der_begin(&d, DER_SEQUENCE);
        der_put_oid(&d, row->algorithm);
        if (row->curve_oid.count > 0)
                der_put_oid(&d, row->curve_oid);
        else if (key->kind == PUBLIC_KEY_RSA)
                der_put(&d, DER_NULL, STR(""));
        der_end(&d);
        der_put_bits(&d, buf_str(&bits));
        der_end(&d);
}

/* ---- SSH wire form ---------------------------------------------------------------------------------- */

bool public_key_kind_of_ssh(struct str type, enum public_key_kind *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (str_equal(type, kinds[i].ssh_type)) {
                        *ret = (enum public_key_kind)i;
                        return true;
                }
        return false;
}

bool public_key_kind_of_ssh_cert(struct str type, enum public_key_kind *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (str_equal(type, kinds[i].ssh_cert_type)) {
                        *ret = (enum public_key_kind)i;
                        return true;
                }
        return false;
}

/* mpint of a non-negative number (RFC 4251 section 5), in canonical form; returned without the sign byte. */
static struct str read_mpint(struct reader *r)
{
        struct str bytes = reader_ssh_string(r, PUBLIC_KEY_MAX);
        const uint8_t *b = str_bytes(bytes);

        if (bytes.len == 0)
                return bytes;
        if ((b[0] & 0x80) != 0 || (b[0] == 0 && (bytes.len == 1 || (b[1] & 0x80) == 0))) {
                reader_fail(r, "a number that is negative or not in its shortest form");
                return (struct str){ 0 };
        }
        return b[0] == 0 ? str_slice(bytes, 1, bytes.len) : bytes;
}

static void put_mpint(struct buf *out, struct str number)
{
        bool needs_zero = number.len > 0 && (number.ptr[0] & 0x80) != 0;

        buf_put_u32(out, (uint32_t)(number.len + needs_zero));
        if (needs_zero)
                buf_put_u8(out, 0);
        buf_put(out, number);
}

struct error *public_key_of_ssh_fields(enum public_key_kind kind, struct reader *r, struct public_key *ret)
{
        struct public_key key = { .kind = kind };

        if (kind == PUBLIC_KEY_RSA) {
                key.exponent = read_mpint(r);
                key.modulus = read_mpint(r);
        } else {
                struct str curve = kinds[kind].ssh_curve;

                if (curve.len > 0 && !str_equal(reader_ssh_string(r, SSH_TYPE_MAX), curve))
                        reader_fail(r, "the curve is not that of the key's type");
                key.point = reader_ssh_string(r, PUBLIC_KEY_MAX);
        }
        if (!reader_ok(r))
                return reader_finish(r, "the SSH public key");
        TRY(check(&key));
        *ret = key;
        return NULL;
}

struct error *public_key_of_ssh(struct str wire, struct public_key *ret)
{
        struct reader r = reader_over(wire);
        struct str type = reader_ssh_string(&r, SSH_TYPE_MAX);
        enum public_key_kind kind;

        if (!reader_ok(&r))
                return reader_finish(&r, "the SSH public key");
        if (public_key_kind_of_ssh_cert(type, &kind))
                return error_new(ERROR_INVALID_ARGUMENT, "this is an SSH certificate, where a public key is expected");
        if (!public_key_kind_of_ssh(type, &kind)) {
                AUTO_MEM char *shown = escaped(type);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "SSH keys of type '%s' are not accepted", shown),
                                  "%s", unknown_kind);
        }
        struct public_key key;
        TRY(public_key_of_ssh_fields(kind, &r, &key));
        TRY(reader_finish(&r, "the SSH public key"));
        *ret = key;
        return NULL;
}

void public_key_put_ssh_fields(const struct public_key *key, struct buf *out)
{
        if (key->kind == PUBLIC_KEY_RSA) {
                put_mpint(out, key->exponent);
                put_mpint(out, key->modulus);
                return;
        }
        if (kinds[key->kind].ssh_curve.len > 0)
                buf_put_ssh_string(out, kinds[key->kind].ssh_curve);
        buf_put_ssh_string(out, key->point);
}

void public_key_put_ssh(const struct public_key *key, struct buf *out)
{
        buf_put_ssh_string(out, kinds[key->kind].ssh_type);
        public_key_put_ssh_fields(key, out);
}

struct str public_key_ssh_cert_type(const struct public_key *key)
{
        return kinds[key->kind].ssh_cert_type;
}

bool public_key_equal(const struct public_key *a, const struct public_key *b)
{
        return a->kind == b->kind && str_equal(a->point, b->point) && str_equal(a->modulus, b->modulus) &&
               str_equal(a->exponent, b->exponent);
}

/* ---- the checks of key.h ------------------------------------------------------------------------------ */

struct error *public_key_check_der(struct str spki_der, struct buf *out_der)
{
        struct public_key key;

        TRY(public_key_of_spki(spki_der, &key));
        public_key_put_spki(&key, out_der);
        return buf_finish(out_der, "the public key");
}

/* The label "RSA PUBLIC KEY" means PKCS#1, but some clients send a SubjectPublicKeyInfo under it. */
static struct error *check_rsa_block(struct str der, struct buf *out_der)
{
        struct public_key key = { .kind = PUBLIC_KEY_RSA };
        struct reader r = reader_over(der);

        read_rsa_numbers(&r, &key);
        if (!reader_ok(&r))
                return public_key_check_der(der, out_der);
        TRY(reader_finish(&r, "the RSA public key"));
        TRY(check(&key));
        public_key_put_spki(&key, out_der);
        return buf_finish(out_der, "the public key");
}

struct error *public_key_check_pem(struct str pem, struct buf *out_der)
{
        AUTO(buf) der = BUF_MAX(PUBLIC_KEY_MAX);
        struct str rest = pem;
        struct pem_block block;

        if (pem.len > 2 * PUBLIC_KEY_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the PEM text has %zu bytes; no public key has so many",
                                 pem.len);
        if (!pem_next(&rest, &block))
                return error_new(ERROR_INVALID_ARGUMENT, "there is no PEM block where a public key is expected");
        if (!str_is_empty(str_trim(block.before)) || !str_is_empty(str_trim(rest)))
                return error_new(ERROR_INVALID_ARGUMENT, "there is more than one PEM block around the public key");
        bool is_rsa = str_equal(block.label, STR("RSA PUBLIC KEY"));
        if (!is_rsa && !str_equal(block.label, STR("PUBLIC KEY"))) {
                AUTO_MEM char *shown = escaped(block.label);
                return error_new(ERROR_INVALID_ARGUMENT, "the PEM block is a '%s', where a public key is expected",
                                 shown);
        }
        TRY(pem_decode(&block, &der));
        TRY(buf_finish(&der, "the public key"));
        return is_rsa ? check_rsa_block(buf_str(&der), out_der) : public_key_check_der(buf_str(&der), out_der);
}

struct error *public_key_check_ssh(struct str wire, struct buf *out_wire)
{
        struct public_key key;

        TRY(public_key_of_ssh(wire, &key));
        public_key_put_ssh(&key, out_wire);
        return buf_finish(out_wire, "the SSH public key");
}

struct error *public_key_check_ssh_line(struct str line, struct buf *out_wire)
{
        AUTO(buf) wire = BUF_MAX(PUBLIC_KEY_MAX);
        struct str rest = str_trim(line);

        if (line.len > 2 * PUBLIC_KEY_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the line has %zu bytes; no SSH public key has so many",
                                 line.len);
        if (str_find_char(rest, '\n') != rest.len)
                return error_new(ERROR_INVALID_ARGUMENT,
                                 "there is more than one line where one SSH public key is expected");
        struct str type = str_split(&rest, ' ');
        struct str base64 = str_split(&rest, ' '); /* a comment may follow; it is ignored */
        struct error *err = base64_decode(&wire, base64);
        if (err != NULL || wire.len == 0) {
                error_free(err);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "this is not an SSH public key line"),
                                  "it reads: <type> <base64> [comment], without options");
        }
        TRY(buf_finish(&wire, "the SSH public key"));
        struct reader r = reader_over(buf_str(&wire));
        if (!str_equal(reader_ssh_string(&r, SSH_TYPE_MAX), type))
                return error_new(ERROR_INVALID_ARGUMENT, "the SSH public key does not have the type of its line");
        return public_key_check_ssh(buf_str(&wire), out_wire);
}
