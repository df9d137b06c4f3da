/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSH certificates (PROTOCOL.certkeys) of hosts and users, written and read.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/openssl.h"
#include "pki/public_key.h"

enum {
        NONCE_SIZE = 32,
        ED25519_SIGNATURE_SIZE = 64,
        SSH_TYPE_MAX = 64,
        KEY_ID_MAX = LIMIT_NAME,
        OPTIONS_MAX = 16 * KiB, /* room for LIMIT_USER_ROLES names and the fixed texts */
};

struct ssh_ca {
        EVP_MD_CTX *ready; /* initialised for a signature, never used directly: each signature uses a copy */
        EVP_MD_CTX *scratch;
        struct buf public_ssh; /* wire form */
};

void ssh_ca_free(struct ssh_ca *ca)
{
        if (ca == NULL)
                return;
        EVP_MD_CTX_free(ca->ready);
        EVP_MD_CTX_free(ca->scratch);
        buf_release(&ca->public_ssh);
        free(ca);
}

static struct error *sign(struct ssh_ca *ca, struct str bytes, uint8_t out[ED25519_SIGNATURE_SIZE])
{
        size_t len = ED25519_SIGNATURE_SIZE;

        if (EVP_MD_CTX_copy_ex(ca->scratch, ca->ready) != 1 ||
            EVP_DigestSign(ca->scratch, out, &len, str_bytes(bytes), bytes.len) != 1 || len != ED25519_SIGNATURE_SIZE)
                return openssl_error(ERROR_INTERNAL, "cannot sign an SSH certificate");
        return NULL;
}

/* Whether `signature` is a valid signature over `bytes` by the Ed25519 key. */
static bool is_signed_by(const struct public_key *key, struct str bytes, struct str signature)
{
        EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, str_bytes(key->point), key->point.len);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool is_good = pkey != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
                       EVP_DigestVerify(ctx, str_bytes(signature), signature.len, str_bytes(bytes), bytes.len) == 1;

        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
        if (!is_good)
                error_free(openssl_error(ERROR_INVALID_ARGUMENT, "bad signature")); /* empties OpenSSL's queue */
        return is_good;
}

struct error *ssh_ca_load(const struct key *key, struct ssh_ca **ret)
{
        AUTO_PTR(ssh_ca) ca = NEW(struct ssh_ca);
        struct public_key public;
        uint8_t signature[ED25519_SIGNATURE_SIZE];

        ca->public_ssh = BUF_MAX(PUBLIC_KEY_MAX);
        TRY(key_public_ssh(key, &ca->public_ssh));
        TRY(public_key_of_ssh(buf_str(&ca->public_ssh), &public));
        if (public.kind != PUBLIC_KEY_ED25519)
                return error_new(ERROR_FAILED_PRECONDITION, "the key that signs SSH certificates is not Ed25519");
        ca->ready = EVP_MD_CTX_new();
        ca->scratch = EVP_MD_CTX_new();
        if (ca->ready == NULL || ca->scratch == NULL ||
            EVP_DigestSignInit_ex(ca->ready, NULL, NULL, NULL, NULL, key->handle, NULL) != 1)
                return openssl_error(ERROR_INTERNAL, "cannot prepare an Ed25519 signature");
        /* With a damaged private key, every certificate would be refused by all verifiers: checked here. */
        TRY(sign(ca, STR("check"), signature));
        if (!is_signed_by(&public, STR("check"), str_of_bytes(signature, sizeof signature)))
                return error_new(ERROR_FAILED_PRECONDITION, "the CA's private key is damaged");
        *ret = ca;
        ca = NULL;
        return NULL;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

/* The contents of a certificate, already checked except for the range of its times. */
struct contents {
        uint32_t kind;
        struct str key_id;
        struct buf principals; /* encoded: a list of strings is one string that contains strings */
        struct buf extensions; /* encoded: pairs of strings, sorted by name */
        uint64_t serial;
        struct cert_times times;
};

static void contents_release(struct contents *c)
{
        buf_release(&c->principals);
        buf_release(&c->extensions);
}

static struct error *issue(struct ssh_ca *ca, const struct contents *c, struct str public_key_wire, struct buf *out_wire)
{
        AUTO(buf) cert = BUF_MAX(CERT_MAX);
        AUTO(buf) signature = BUF_MAX(SSH_TYPE_MAX + ED25519_SIGNATURE_SIZE);
        uint8_t nonce[NONCE_SIZE], raw[ED25519_SIGNATURE_SIZE];
        struct public_key key;

        TRY(public_key_of_ssh(public_key_wire, &key));
        TRY(buf_finish(&c->principals, "the list of names"));
        TRY(buf_finish(&c->extensions, "the extensions"));
        int64_t after = walltime_unix(c->times.not_before), before = walltime_unix(c->times.not_after);
        if (after < 0 || before <= after)
                return error_new(ERROR_INVALID_ARGUMENT,
                                 "a certificate that begins before 1970 or ends before it begins");
        random_bytes(nonce, sizeof nonce);

        buf_put_ssh_string(&cert, public_key_ssh_cert_type(&key));
        buf_put_ssh_string(&cert, str_of_bytes(nonce, sizeof nonce));
        public_key_put_ssh_fields(&key, &cert);
        buf_put_u64(&cert, c->serial);
        buf_put_u32(&cert, c->kind);
        buf_put_ssh_string(&cert, c->key_id);
        buf_put_ssh_string(&cert, buf_str(&c->principals));
        buf_put_u64(&cert, (uint64_t)after);
        buf_put_u64(&cert, (uint64_t)before);
        buf_put_ssh_string(&cert, STR("")); /* critical options */
        buf_put_ssh_string(&cert, buf_str(&c->extensions));
        buf_put_ssh_string(&cert, STR("")); /* reserved */
        buf_put_ssh_string(&cert, buf_str(&ca->public_ssh));
        TRY(buf_finish(&cert, "the SSH certificate"));

        TRY(sign(ca, buf_str(&cert), raw));
        buf_put_ssh_string(&signature, STR("ssh-ed25519"));
        buf_put_ssh_string(&signature, str_of_bytes(raw, sizeof raw));
        buf_put(out_wire, buf_str(&cert));
        buf_put_ssh_string(out_wire, buf_str(&signature));
        return buf_finish(out_wire, "the SSH certificate");
}

/* ---- hosts */

struct error *ssh_issue_host(struct ssh_ca *ca, const struct ssh_host_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire)
{
        AUTO(contents) c = { .kind = SSH_CERT_HOST, .key_id = subject->key_id, .principals = BUF_MAX(CERT_MAX),
                             .extensions = BUF_MAX(0), .serial = serial, .times = times };

        /* A host certificate without principals is valid for every host. */
        if (subject->principal_count == 0 || subject->principal_count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "an SSH host certificate needs 1 to %d names, not %zu",
                                 LIMIT_CERT_NAMES, subject->principal_count);
        if (subject->key_id.len > KEY_ID_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the key ID has %zu bytes, more than %d", subject->key_id.len,
                                 KEY_ID_MAX);
        for (size_t i = 0; i < subject->principal_count; i++) {
                /* ssh matches principals as patterns: names with pattern characters are refused. */
                if (!name_is_ip(subject->principals[i]))
                        TRY(name_check_host(subject->principals[i], "certificate name"));
                buf_put_ssh_string(&c.principals, subject->principals[i]);
        }
        return issue(ca, &c, public_key_wire, out_wire);
}

/* ---- users */

static bool is_user_principal(struct str s)
{
        return name_is_login(s) || (str_starts_with(s, SSH_NOLOGIN_PREFIX) &&
                                    name_is_uuid(str_slice(s, SSH_NOLOGIN_PREFIX.len, s.len)));
}

static struct error *put_logins(struct buf *out, const struct ssh_user_subject *subject)
{
        if (subject->principal_count == 0 || subject->principal_count > LIMIT_CERT_NAMES)
                return error_new(ERROR_INVALID_ARGUMENT, "an SSH user certificate needs 1 to %d logins, not %zu",
                                 LIMIT_CERT_NAMES, subject->principal_count);
        for (size_t i = 0; i < subject->principal_count; i++) {
                if (!is_user_principal(subject->principals[i])) {
                        AUTO_MEM char *shown = escaped(subject->principals[i]);
                        return error_new(ERROR_INVALID_ARGUMENT, "'%s' cannot be a login in a certificate", shown);
                }
                buf_put_ssh_string(out, subject->principals[i]);
        }
        return NULL;
}

/* {"version":"v1","roles":["access"]}, as Teleport's tools expect. */
static struct error *put_roles(struct buf *out, const struct ssh_user_subject *subject)
{
        if (subject->role_count > LIMIT_USER_ROLES)
                return error_new(ERROR_INVALID_ARGUMENT, "%zu roles are too many for a certificate", subject->role_count);
        buf_put_c(out, "{\"version\":\"v1\",\"roles\":[");
        for (size_t i = 0; i < subject->role_count; i++) {
                TRY(name_check_token(subject->roles[i], "role"));
                buf_put_c(out, i == 0 ? "" : ",");
                json_put_string(out, subject->roles[i]);
        }
        buf_put_c(out, "]}");
        return NULL;
}

/* An extension's value is a string inside a string; an extension without value has an empty string. */
static void put_extension(struct buf *out, struct str name, struct str value)
{
        AUTO(buf) contents = BUF_MAX(OPTIONS_MAX);

        if (!str_is_empty(value))
                buf_put_ssh_string(&contents, value);
        buf_put_ssh_string(out, name);
        buf_put_ssh_string(out, buf_str(&contents));
}

struct error *ssh_issue_user(struct ssh_ca *ca, const struct ssh_user_subject *subject, struct str public_key_wire,
                             uint64_t serial, struct cert_times times, struct buf *out_wire)
{
        AUTO(contents) c = { .kind = SSH_CERT_USER, .key_id = subject->user, .principals = BUF_MAX(CERT_MAX),
                             .extensions = BUF_MAX(OPTIONS_MAX), .serial = serial, .times = times };
        AUTO(buf) roles = BUF_MAX(OPTIONS_MAX);

        if (!name_is_user(subject->user))
                return error_new(ERROR_INVALID_ARGUMENT, "the name of the user cannot be in a certificate");
        TRY(put_logins(&c.principals, subject));
        TRY(put_roles(&roles, subject));
        /* Sorted by name, as the format requires. */
        if (subject->permit_agent_forwarding)
                put_extension(&c.extensions, STR("permit-agent-forwarding"), STR(""));
        if (subject->permit_port_forwarding)
                put_extension(&c.extensions, STR("permit-port-forwarding"), STR(""));
        if (subject->permit_pty)
                put_extension(&c.extensions, STR("permit-pty"), STR(""));
        put_extension(&c.extensions, STR("teleport-roles"), buf_str(&roles));
        TRY(buf_finish(&roles, "the list of roles"));
        return issue(ca, &c, public_key_wire, out_wire);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Needs info->kind. */
static void read_principals(struct arena *a, struct reader *r, struct ssh_cert_info *info)
{
        struct reader list = reader_over(reader_ssh_string(r, CERT_MAX));
        bool is_user = info->kind == SSH_CERT_USER;

        while (reader_ok(&list) && list.rest.len > 0) {
                struct str name = reader_ssh_string(&list, LIMIT_NAME);

                if (info->principal_count == LIMIT_CERT_NAMES)
                        reader_fail(&list, "it has too many names");
                else if (reader_ok(&list) && (is_user ? !is_user_principal(name) : !name_is_host(name) && !name_is_ip(name)))
                        reader_fail(&list, "a name in it is not the name of a host or account");
                else if (reader_ok(&list))
                        info->principals[info->principal_count++] = arena_str(a, name);
        }
        if (!reader_ok(&list))
                reader_fail(r, list.fault);
}

static bool is_printable(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] < ' ' || s.ptr[i] > '~')
                        return false;
        return true;
}

static void read_extension(struct arena *a, struct reader *list, struct ssh_cert_info *info)
{
        struct ssh_extension *last = info->extension_count == 0 ? NULL : &info->extensions[info->extension_count - 1];
        struct str name = reader_ssh_string(list, LIMIT_NAME);
        struct reader contents = reader_over(reader_ssh_string(list, OPTIONS_MAX));
        struct str value = contents.rest.len == 0 ? STR("") : reader_ssh_string(&contents, OPTIONS_MAX);

        if (!reader_ok(&contents) || contents.rest.len > 0 || str_is_empty(name) || !is_printable(name) || !is_printable(value))
                reader_fail(list, "an extension is malformed");
        else if (last != NULL && str_compare(last->name, name) >= 0)
                reader_fail(list, "its extensions are not in order");
        else if (info->extension_count == SSH_EXTENSIONS_MAX)
                reader_fail(list, "it has too many extensions");
        if (reader_ok(list))
                info->extensions[info->extension_count++] =
                        (struct ssh_extension){ .name = arena_str(a, name), .value = arena_str(a, value) };
}

static void read_extensions(struct arena *a, struct reader *r, struct ssh_cert_info *info)
{
        struct reader list = reader_over(reader_ssh_string(r, OPTIONS_MAX));

        while (reader_ok(&list) && list.rest.len > 0)
                read_extension(a, &list, info);
        if (!reader_ok(&list))
                reader_fail(r, list.fault);
}

/* Reads the key's fields into info->public_key, in the form of a plain key. */
static struct error *read_key(struct arena *a, enum public_key_kind kind, struct reader *r, struct ssh_cert_info *info)
{
        AUTO(buf) wire = BUF_MAX(PUBLIC_KEY_MAX);
        struct public_key key;

        TRY(public_key_of_ssh_fields(kind, r, &key));
        public_key_put_ssh(&key, &wire);
        TRY(buf_finish(&wire, "the SSH public key"));
        info->public_key = arena_str(a, buf_str(&wire));
        return NULL;
}

/* Reads the last two fields: the signer's key, and the signature over everything before it. */
static struct error *read_signature(struct arena *a, struct str wire, struct reader *r, struct ssh_cert_info *info)
{
        struct str ca_wire = reader_ssh_string(r, PUBLIC_KEY_MAX);
        struct str signed_part = str_slice(wire, 0, r->offset);
        struct reader signature = reader_over(reader_ssh_string(r, PUBLIC_KEY_MAX));
        struct str type = reader_ssh_string(&signature, SSH_TYPE_MAX);
        struct str raw = reader_ssh_string(&signature, PUBLIC_KEY_MAX);
        struct public_key ca;

        TRY(reader_finish(r, "the SSH certificate"));
        TRY(reader_finish(&signature, "the signature of the SSH certificate"));
        struct error *err = public_key_of_ssh(ca_wire, &ca);
        if (err != NULL)
                return error_wrap(err, "the key that signed the SSH certificate");
        if (ca.kind != PUBLIC_KEY_ED25519 || !str_equal(type, STR("ssh-ed25519")))
                return error_new(ERROR_INVALID_ARGUMENT,
                                 "the SSH certificate was not signed with an Ed25519 key");
        if (!is_signed_by(&ca, signed_part, raw))
                return error_new(ERROR_INVALID_ARGUMENT, "the signature of the SSH certificate is wrong");
        info->ca_key = arena_str(a, ca_wire);
        return NULL;
}

struct error *ssh_cert_read(struct arena *a, struct str wire, struct ssh_cert_info *ret)
{
        struct ssh_cert_info info = { 0 };
        struct reader r = reader_over(wire);
        enum public_key_kind kind;

        if (wire.len > CERT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the SSH certificate has %zu bytes, which is too large",
                                 wire.len);
        struct str type = reader_ssh_string(&r, SSH_TYPE_MAX);
        if (!public_key_kind_of_ssh_cert(type, &kind))
                return error_new(ERROR_INVALID_ARGUMENT, "this is not an SSH certificate");
        reader_ssh_string(&r, 2 * NONCE_SIZE);
        TRY(read_key(a, kind, &r, &info));
        info.serial = reader_u64(&r);
        info.kind = reader_u32(&r);
        info.key_id = arena_str(a, reader_ssh_string(&r, KEY_ID_MAX));
        read_principals(a, &r, &info);
        info.valid_after = reader_u64(&r);
        info.valid_before = reader_u64(&r);
        if (!str_is_empty(reader_ssh_string(&r, OPTIONS_MAX)))
                reader_fail(&r, "it has critical options");
        read_extensions(a, &r, &info);
        struct str reserved = reader_ssh_string(&r, OPTIONS_MAX);
        if (info.kind != SSH_CERT_USER && info.kind != SSH_CERT_HOST)
                reader_fail(&r, "it is neither for a host nor for a user");
        if (info.principal_count == 0)
                reader_fail(&r, "it has no names: it would fit all, or none");
        if (info.kind == SSH_CERT_HOST && info.extension_count > 0)
                reader_fail(&r, "it is for a host and has extensions");
        if (info.kind == SSH_CERT_USER && !name_is_user(info.key_id))
                reader_fail(&r, "its key ID is not the name of a user");
        if (!str_is_empty(reserved))
                reader_fail(&r, "a reserved field is used");
        TRY(read_signature(a, wire, &r, &info));
        *ret = info;
        return NULL;
}

bool ssh_cert_permits(const struct ssh_cert_info *info, struct str extension)
{
        for (size_t i = 0; i < info->extension_count; i++)
                if (str_equal(info->extensions[i].name, extension))
                        return true;
        return false;
}

struct error *ssh_wire_to_line(struct str wire, struct buf *out)
{
        struct reader r = reader_over(wire);
        struct str type = reader_ssh_string(&r, SSH_TYPE_MAX);
        enum public_key_kind kind;

        if (!public_key_kind_of_ssh(type, &kind) && !public_key_kind_of_ssh_cert(type, &kind))
                return error_new(ERROR_INVALID_ARGUMENT, "this is neither an SSH public key nor an SSH certificate");
        buf_put(out, type);
        buf_put_char(out, ' ');
        base64_encode(out, wire);
        return buf_finish(out, "the SSH line");
}
