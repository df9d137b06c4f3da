/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of certificates issued by a cluster: accepts exactly the profile that x509.c writes, field by field.
 * OpenSSL, which has verified the signature before, would take a hundred times longer to build its object. cert_fuzz.c
 * asserts that both parsers read the same values from a certificate.
 */
#include "base/interop.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/cert_profile.h"
#include "pki/pem.h"
#include "pki/public_key.h"

enum { SERIAL_SIZE = (CERT_SERIAL_HEX_SIZE - 1) / 2, NAME_VALUE_MAX = 2 * LIMIT_NAME };

/* The attributes of a Name that we write, each at most once except for the lists; borrowed. */
struct name {
        struct str common_name, cluster, ca_serial, web_session, app, app_secret;
        struct str organizations[LIMIT_USER_ROLES], localities[LIMIT_CERT_NAMES];
        struct str system_roles[ARRAY_LEN(((struct cert_info *)NULL)->system_roles)];
        size_t organization_count, locality_count, system_role_count;
};

enum extension {
        EXTENSION_BASIC_CONSTRAINTS,
        EXTENSION_KEY_USAGE,
        EXTENSION_EXTENDED_KEY_USAGE,
        EXTENSION_SUBJECT_KEY_ID,
        EXTENSION_AUTHORITY_KEY_ID,
        EXTENSION_SUBJECT_ALT_NAME,
};

/* The extensions found, and the values that determine the kind of certificate. */
struct extensions {
        unsigned seen; /* a bit for each */
        bool is_ca, is_server, is_client;
};

static bool has_extension(const struct extensions *e, enum extension which)
{
        return (e->seen & 1U << which) != 0;
}

/* ---- Name ------------------------------------------------------------------------------------------------- */

/*
 * The characters allowed in any attribute: "<host id>.<cluster>" is longer than a host name, and a role or a serial number is
 * no name. The name of a host, CA or user is checked further once its kind is known.
 */
static bool is_name_value(struct str s)
{
        if (s.len == 0 || s.len > NAME_VALUE_MAX)
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && str_find_char(STR(".-_+@=:"), s.ptr[i]) == 7)
                        return false;
        return true;
}

/* The characters allowed in a host's own names. */
static bool is_host_value(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != '-')
                        return false;
        return s.len > 0;
}

static void keep(struct reader *r, struct str *into, struct str value)
{
        if (!str_is_empty(*into))
                reader_fail(r, "an attribute of a name occurs twice");
        *into = value;
}

static void keep_one_more(struct reader *r, struct str *into, size_t *count, size_t room, struct str value)
{
        if (*count == room)
                reader_fail(r, "a name has too many values of one kind");
        else
                into[(*count)++] = value;
}

static void read_attribute(struct reader *r, struct name *name)
{
        struct reader set = der_enter(r, DER_SET);
        struct reader pair = der_enter(&set, DER_SEQUENCE);
        struct str type = der_get_oid(&pair);
        bool is_serial = der_oid_is(type, OID_SERIAL_NUMBER);
        struct str value = der_get(&pair, is_serial ? DER_PRINTABLE_STRING : DER_UTF8_STRING);

        if (reader_ok(&pair) && !is_name_value(value))
                reader_fail(&pair, "a name has characters or a length that we do not write");
        if (is_serial)
                keep(&pair, &name->ca_serial, value);
        else if (der_oid_is(type, OID_COMMON_NAME))
                keep(&pair, &name->common_name, value);
        else if (der_oid_is(type, OID_CLUSTER))
                keep(&pair, &name->cluster, value);
        else if (der_oid_is(type, OID_WEB_SESSION))
                keep(&pair, &name->web_session, value);
        else if (der_oid_is(type, OID_APP_NAME))
                keep(&pair, &name->app, value);
        else if (der_oid_is(type, OID_APP_SECRET))
                keep(&pair, &name->app_secret, value);
        else if (der_oid_is(type, OID_ORGANIZATION))
                keep_one_more(&pair, name->organizations, &name->organization_count, LIMIT_USER_ROLES, value);
        else if (der_oid_is(type, OID_LOCALITY))
                keep_one_more(&pair, name->localities, &name->locality_count, LIMIT_CERT_NAMES, value);
        else if (der_oid_is(type, OID_SYSTEM_ROLE))
                keep_one_more(&pair, name->system_roles, &name->system_role_count, ARRAY_LEN(name->system_roles), value);
        else
                reader_fail(&pair, "a name has an attribute that the cluster does not use");
        der_leave(&set, &pair);
        der_leave(r, &set);
}

static void read_name(struct reader *r, struct name *name)
{
        struct reader attributes = der_enter(r, DER_SEQUENCE);

        while (reader_ok(&attributes) && attributes.rest.len > 0)
                read_attribute(&attributes, name);
        der_leave(r, &attributes);
}

/* ---- fields ------------------------------------------------------------------------------------------------- */

static void read_algorithm(struct reader *r)
{
        struct reader algorithm = der_enter(r, DER_SEQUENCE);

        if (!der_oid_is(der_get_oid(&algorithm), OID_ECDSA_SHA256))
                reader_fail(&algorithm, "it is not signed with ECDSA and SHA-256");
        der_leave(r, &algorithm);
}

static int two_digits(struct reader *r, struct str *text)
{
        struct str pair = str_slice(*text, 0, 2);

        *text = str_slice(*text, 2, text->len);
        if (pair.len == 2 && char_is_digit(pair.ptr[0]) && char_is_digit(pair.ptr[1]))
                return (pair.ptr[0] - '0') * 10 + (pair.ptr[1] - '0');
        reader_fail(r, "a time is not in DER form");
        return 0;
}

/* YYMMDDHHMMSSZ until 2049, YYYYMMDDHHMMSSZ from 2050 on (RFC 5280 section 4.1.2.5). */
static struct walltime read_time(struct reader *r)
{
        bool is_long = r->rest.len > 0 && r->rest.ptr[0] == DER_GENERALIZED_TIME;
        struct str text = der_get(r, is_long ? DER_GENERALIZED_TIME : DER_UTC_TIME);
        int century = is_long ? two_digits(r, &text) : 0;
        int year = two_digits(r, &text);
        struct civil c = { .year = is_long ? century * 100 + year : year + (year < 50 ? 2000 : 1900) };
        struct walltime t = { 0 };

        c.month = two_digits(r, &text);
        c.day = two_digits(r, &text);
        c.hour = two_digits(r, &text);
        c.minute = two_digits(r, &text);
        c.second = two_digits(r, &text);
        if (!str_equal(text, STR("Z")) || (is_long && c.year < 2050))
                reader_fail(r, "a time is not in DER form");
        if (!reader_ok(r))
                return t;
        if (c.second > 59) { /* a leap second, which OpenSSL rejects and we never write */
                reader_fail(r, "a time that is in no calendar");
                return t;
        }
        struct error *err = walltime_of_civil(c, &t);
        if (err != NULL) {
                error_free(err);
                reader_fail(r, "a time that is in no calendar");
        }
        return t;
}

static struct cert_times read_times(struct reader *r)
{
        struct reader validity = der_enter(r, DER_SEQUENCE);
        struct cert_times times = { .not_before = read_time(&validity) };

        times.not_after = read_time(&validity);
        der_leave(r, &validity);
        return times;
}

/* The key is not returned, but it must be one that we would certify. */
static void read_public_key(struct reader *r)
{
        const struct str before = r->rest;
        struct public_key key;

        der_get(r, DER_SEQUENCE);
        if (!reader_ok(r))
                return;
        struct error *err = public_key_of_spki(str_slice(before, 0, before.len - r->rest.len), &key);
        if (err != NULL) {
                error_free(err);
                reader_fail(r, "its public key is not one that we accept");
        }
}

/* ---- extensions --------------------------------------------------------------------------------------------- */

static void read_basic_constraints(struct reader *r, struct extensions *e)
{
        struct reader inner = der_enter(r, DER_SEQUENCE);

        if (inner.rest.len > 0) { /* cA FALSE is the default, which DER omits */
                e->is_ca = str_equal(der_get(&inner, DER_BOOLEAN), STR("\xff"));
                if (!e->is_ca || !str_is_empty(der_get_unsigned(&inner)))
                        reader_fail(&inner, "its basic constraints are not those of the cluster");
        }
        der_leave(r, &inner);
}

static void read_extended_key_usage(struct reader *r, struct extensions *e)
{
        struct reader uses = der_enter(r, DER_SEQUENCE);

        while (reader_ok(&uses) && uses.rest.len > 0) {
                struct str use = der_get_oid(&uses);

                if (der_oid_is(use, OID_SERVER_AUTH) && !e->is_server)
                        e->is_server = true;
                else if (der_oid_is(use, OID_CLIENT_AUTH) && !e->is_client)
                        e->is_client = true;
                else
                        reader_fail(&uses, "it has a usage that the cluster does not use");
        }
        der_leave(r, &uses);
}

static const struct known_extension {
        struct oid oid;
        bool is_critical;
        void (*read)(struct reader *r, struct extensions *e); /* NULL: checked by OpenSSL's verification */
} known_extensions[] = {
        [EXTENSION_BASIC_CONSTRAINTS] = { OID_BASIC_CONSTRAINTS, .is_critical = true, .read = read_basic_constraints },
        [EXTENSION_KEY_USAGE] = { OID_KEY_USAGE, .is_critical = true },
        [EXTENSION_EXTENDED_KEY_USAGE] = { OID_EXTENDED_KEY_USAGE, .read = read_extended_key_usage },
        [EXTENSION_SUBJECT_KEY_ID] = { OID_SUBJECT_KEY_ID },
        [EXTENSION_AUTHORITY_KEY_ID] = { OID_AUTHORITY_KEY_ID },
        [EXTENSION_SUBJECT_ALT_NAME] = { OID_SUBJECT_ALT_NAME },
};

static void read_extension(struct reader *r, struct extensions *e)
{
        struct reader extension = der_enter(r, DER_SEQUENCE);
        struct str type = der_get_oid(&extension);

        for (size_t i = 0; i < ARRAY_LEN(known_extensions) && reader_ok(&extension); i++) {
                const struct known_extension *row = &known_extensions[i];

                if (!der_oid_is(type, row->oid))
                        continue;
                if ((e->seen & 1U << i) != 0)
                        reader_fail(&extension, "an extension occurs twice");
                e->seen |= 1U << i;
                if (row->is_critical && !str_equal(der_get(&extension, DER_BOOLEAN), STR("\xff")))
                        reader_fail(&extension, "an extension is not critical that should be");
                struct reader value = der_enter(&extension, DER_OCTET_STRING);
                if (row->read != NULL) {
                        row->read(&value, e);
                        der_leave(&extension, &value);
                }
                der_leave(r, &extension);
                return;
        }
        reader_fail(r, "it has an extension that the cluster does not use");
}

static void read_extensions(struct reader *r, struct extensions *e)
{
        struct reader tagged = der_enter(r, DER_CONTEXT_CONSTRUCTED(3));
        struct reader list = der_enter(&tagged, DER_SEQUENCE);

        while (reader_ok(&list) && list.rest.len > 0)
                read_extension(&list, e);
        if (!has_extension(e, EXTENSION_BASIC_CONSTRAINTS))
                reader_fail(&list, "it has no basic constraints");
        der_leave(&tagged, &list);
        der_leave(r, &tagged);
}

/* ---- the whole certificate -------------------------------------------------------------------------------- */

/* TBSCertificate, RFC 5280 section 4.1. */
static void read_contents(struct reader *r, struct str *serial, struct name *issuer, struct name *subject,
                          struct cert_times *times, struct extensions *e)
{
        struct reader contents = der_enter(r, DER_SEQUENCE);
        struct reader version = der_enter(&contents, DER_CONTEXT_CONSTRUCTED(0));

        if (!str_equal(der_get_unsigned(&version), STR("\x02")))
                reader_fail(&version, "it is not of version 3");
        der_leave(&contents, &version);
        *serial = der_get_unsigned(&contents);
        if (serial->len > SERIAL_SIZE)
                reader_fail(&contents, "its serial number is not one of the cluster");
        read_algorithm(&contents);
        read_name(&contents, issuer);
        *times = read_times(&contents);
        read_name(&contents, subject);
        read_public_key(&contents);
        read_extensions(&contents, e);
        der_leave(r, &contents);
}

static struct str serial_hex(struct arena *a, struct str serial)
{
        AUTO(buf) hex = BUF_MAX(CERT_SERIAL_HEX_SIZE);
        static const uint8_t zeros[SERIAL_SIZE];

        hex_encode(&hex, str_of_bytes(zeros, SERIAL_SIZE - serial.len));
        hex_encode(&hex, serial);
        return arena_str(a, buf_str(&hex));
}

static struct error *not_ours(const char *what)
{
        return error_new(ERROR_INVALID_ARGUMENT, "the certificate's subject is not that of a %s of the cluster", what);
}

/* O and CN must be the cluster's name. */
/* Without the attributes that only certificates of users have. */
static bool is_of_all(const struct name *subject)
{
        return str_is_empty(subject->web_session) && str_is_empty(subject->app) && str_is_empty(subject->app_secret);
}

static struct error *describe_ca(struct arena *a, const struct name *subject, struct cert_info *info)
{
        if (subject->organization_count != 1 || !str_equal(subject->common_name, subject->organizations[0]) ||
            !is_host_value(subject->common_name) || !str_is_empty(subject->cluster) ||
            subject->locality_count > 0 || subject->system_role_count > 0 || !is_of_all(subject))
                return not_ours("CA");
        info->common_name = info->cluster = arena_str(a, subject->common_name);
        return NULL;
}

static struct error *describe_host(struct arena *a, const struct name *subject, struct cert_info *info)
{
        if (!is_host_value(subject->common_name) || subject->organization_count != 1 ||
            !is_host_value(subject->organizations[0]) || !is_host_value(subject->cluster) ||
            subject->locality_count > 0 || !str_is_empty(subject->ca_serial) || !is_of_all(subject))
                return not_ours("host");
        info->common_name = arena_str(a, subject->common_name);
        info->role = arena_str(a, subject->organizations[0]);
        info->cluster = arena_str(a, subject->cluster);
        for (size_t i = 0; i < subject->system_role_count; i++) {
                if (!is_host_value(subject->system_roles[i]))
                        return not_ours("host");
                info->system_roles[i] = arena_str(a, subject->system_roles[i]);
        }
        info->system_role_count = subject->system_role_count;

        size_t id_len = str_find_char(info->common_name, '.');
        struct str id = str_slice(info->common_name, 0, id_len);
        struct str behind = str_slice(info->common_name, id_len + 1, info->common_name.len);
        if (name_is_host_id(id) && str_equal(behind, info->cluster))
                info->host_id = id;
        return NULL;
}

/* Copies names if all are valid; false when one is not. */
static bool copy_names(struct arena *a, const struct str *from, size_t count, bool (*is_good)(struct str s),
                       const struct str **ret, size_t *ret_count)
{
        struct str *list = arena_alloc(a, count * sizeof *list);

        for (size_t i = 0; i < count; i++) {
                if (!is_good(from[i]))
                        return false;
                list[i] = arena_str(a, from[i]);
        }
        *ret = list;
        *ret_count = count;
        return true;
}

static bool is_lower_hex(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
                        return false;
        return true;
}

bool web_session_is_id(struct str s)
{
        return s.len == WEB_SESSION_ID_LEN && is_lower_hex(s);
}

bool app_secret_is_one(struct str s)
{
        return s.len == APP_SECRET_LEN && is_lower_hex(s);
}

static struct error *describe_user(struct arena *a, const struct name *subject, struct cert_info *info)
{
        if (!name_is_user(subject->common_name) || !name_is_host(subject->cluster) ||
            !str_is_empty(subject->ca_serial) || subject->system_role_count > 0 ||
            (!str_is_empty(subject->web_session) && !web_session_is_id(subject->web_session)) ||
            (!str_is_empty(subject->app) && !name_is_app(subject->app)) ||
            (!str_is_empty(subject->app_secret) && !app_secret_is_one(subject->app_secret)))
                return not_ours("user");
        if (!copy_names(a, subject->organizations, subject->organization_count, name_is_token, &info->roles,
                        &info->role_count) ||
            !copy_names(a, subject->localities, subject->locality_count, name_is_login, &info->logins, &info->login_count))
                return not_ours("user");
        info->common_name = arena_str(a, subject->common_name);
        info->cluster = arena_str(a, subject->cluster);
        info->web_session = arena_str(a, subject->web_session);
        info->app = arena_str(a, subject->app);
        info->app_secret = arena_str(a, subject->app_secret);
        info->is_user = true;
        return NULL;
}

/* The key usages determine the kind: CAs sign, hosts are servers and clients, users are clients. */
static struct error *describe(struct arena *a, const struct name *subject, const struct extensions *e,
                              struct cert_info *info)
{
        info->is_ca = e->is_ca;
        if (e->is_ca && !has_extension(e, EXTENSION_EXTENDED_KEY_USAGE))
                return describe_ca(a, subject, info);
        if (!e->is_ca && e->is_server && e->is_client)
                return describe_host(a, subject, info);
        if (!e->is_ca && e->is_client && !has_extension(e, EXTENSION_SUBJECT_ALT_NAME))
                return describe_user(a, subject, info);
        return error_new(ERROR_INVALID_ARGUMENT, "the certificate's usages are not those of a CA, host or user of the cluster");
}

/* The values have passed is_name_value(), but each may be missing. */
static struct str issuer_line(struct arena *a, const struct name *issuer)
{
        struct str organization = issuer->organization_count > 0 ? issuer->organizations[0] : STR("");

        return str_of(arena_printf(a, "O=%.*s, CN=%.*s, serialNumber=%.*s", STR_ARG(organization),
                                   STR_ARG(issuer->common_name), STR_ARG(issuer->ca_serial)));
}

struct error *cert_read(struct arena *a, struct str der, struct cert_info *ret)
{
        struct cert_info info = { 0 };
        struct name issuer = { 0 }, subject = { 0 };
        struct extensions extensions = { 0 };
        struct str serial = { 0 };

        if (der.len > CERT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the certificate has %zu bytes, which is too large",
                                 der.len);
        struct reader r = reader_over(der);
        struct reader whole = der_enter(&r, DER_SEQUENCE);
        read_contents(&whole, &serial, &issuer, &subject, &info.times, &extensions);
        read_algorithm(&whole);
        der_get_bits(&whole);
        der_leave(&r, &whole);
        struct error *err = reader_finish(&r, "the certificate");
        if (err == NULL)
                err = describe(a, &subject, &extensions, &info);
        if (err != NULL)
                return cert_is_of_teleport(der) ? interop_refuse_certificate(err) : err;
        info.serial_hex = serial_hex(a, serial);
        info.issuer = issuer_line(a, &issuer);
        *ret = info;
        return NULL;
}

/* ---- PEM -------------------------------------------------------------------------------------------------- */

void crl_der_to_pem(struct str der, struct buf *out)
{
        pem_put(out, "X509 CRL", der);
}

void cert_der_to_pem(struct str der, struct buf *out)
{
        pem_put(out, "CERTIFICATE", der);
}

struct error *cert_pem_each(struct str pem, struct error *(*each)(void *ctx, struct str der), void *ctx)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        struct str rest = pem;
        struct pem_block block;

        while (pem_next(&rest, &block)) {
                if (!str_equal(block.label, STR("CERTIFICATE")))
                        continue;
                buf_clear(&der);
                TRY(pem_decode(&block, &der));
                TRY(buf_finish(&der, "the certificate"));
                TRY(each(ctx, buf_str(&der)));
        }
        return NULL;
}

struct error *cert_pem_to_der(struct str pem, struct buf *out_der)
{
        struct str rest = pem;
        struct pem_block block;

        while (pem_next(&rest, &block))
                if (str_equal(block.label, STR("CERTIFICATE"))) {
                        TRY(pem_decode(&block, out_der));
                        return buf_finish(out_der, "the certificate");
                }
        return error_new(ERROR_NOT_FOUND, "there is no certificate in the PEM text");
}
