/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reasons of failed handshakes: turns OpenSSL's error numbers into sentences with a hint.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/tls_internal.h"
#include "pki/cert.h"

static const char *peer_of(bool is_server)
{
        return is_server ? "client" : "server";
}

static struct error *with_hint(struct error *err, const char *hint)
{
        return hint == NULL ? err : error_hint(err, "%s", hint);
}

/* ---- fields of a certificate as text ------------------------------------------------------------------- */

/* The issuer in one line, escaped; the caller frees it. */
static char *issuer_text(X509 *cert)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *bytes = NULL;

        X509_NAME_print_ex(bio, X509_get_issuer_name(cert), 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = escaped(str_of_bytes(bytes, len > 0 ? (size_t)len : 0));
        BIO_free(bio);
        return text;
}

/* "2026-01-31T23:59:59Z", or a placeholder if the certificate's time is invalid; the caller frees it. */
static char *time_text(const ASN1_TIME *time)
{
        AUTO(buf) out = BUF_MAX(64);
        struct tm tm;
        struct walltime t;

        if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
                return mem_printf("an unreadable date");
        struct civil c = { .year = tm.tm_year + 1900LL, .month = tm.tm_mon + 1, .day = tm.tm_mday, .hour = tm.tm_hour,
                           .minute = tm.tm_min, .second = tm.tm_sec };
        struct error *err = walltime_of_civil(c, &t);
        if (err != NULL) {
                error_free(err);
                return mem_printf("an unreadable date");
        }
        walltime_put_rfc3339(&out, t);
        return buf_take(&out);
}

static void put_name(struct buf *out, const GENERAL_NAME *name)
{
        char ip[INET6_ADDRSTRLEN] = "";
        const ASN1_STRING *value = name->d.ia5; /* all three kinds of name are an ASN1_STRING */
        struct str bytes = str_of_bytes(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));

        if (name->type == GEN_DNS)
                escape_text(out, bytes, 256);
        else if (inet_ntop(bytes.len == 4 ? AF_INET : AF_INET6, bytes.ptr, ip, sizeof ip) != NULL)
                buf_put_c(out, ip);
}

/* "a, b and 3 more": the names in the certificate that a client may expect; the caller frees it. */
static char *names_text(X509 *cert)
{
        enum { SHOWN = 6 };
        AUTO(buf) out = BUF_MAX(4 * KiB);
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        int count = 0;

        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

                if (name->type != GEN_DNS &&
                    (name->type != GEN_IPADD || (name->d.iPAddress->length != 4 && name->d.iPAddress->length != 16)))
                        continue;
                if (count++ >= SHOWN)
                        continue;
                if (count > 1)
                        buf_put_c(&out, ", ");
                put_name(&out, name);
        }
        GENERAL_NAMES_free(names);
        if (count == 0)
                buf_put_c(&out, "no host at all");
        else if (count > SHOWN)
                buf_printf(&out, " and %d more", count - SHOWN);
        return buf_take(&out);
}

char *tls_certificate_text(X509 *cert)
{
        AUTO_MEM char *names = names_text(cert);
        AUTO_MEM char *issuer = issuer_text(cert);
        AUTO_MEM char *end = time_text(X509_get0_notAfter(cert));

        return mem_printf("certificate for %s, issued by '%s', valid until %s", names, issuer, end);
}

/* ---- peer certificates that this side refuses ---------------------------------------------------------- */

static struct error *refuse_time(X509_STORE_CTX *store, bool is_server, bool is_expired)
{
        AUTO(buf) now = BUF_MAX(64);
        X509 *cert = X509_STORE_CTX_get_current_cert(store);
        bool is_leaf = X509_STORE_CTX_get_error_depth(store) == 0;
        AUTO_MEM char *when = time_text(is_expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert));

        walltime_put_rfc3339(&now, walltime_of_unix(X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(store))));
        /* The time of now is in the hint, since repetitions of a failure are recognized by their message. */
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "the %s's certificate%s %s %s", peer_of(is_server),
                                    is_leaf ? "" : " has an authority whose own certificate", is_expired ? "expired on" : "is not valid before", when),
                          is_expired ? "the clock of this machine says %s: if it is right, the certificate must be renewed"
                                     : "the clock of this machine says %s: set it, for instance with chrony; if it is right, the clock of what issued "
                                       "the certificate is wrong",
                          buf_c(&now));
}

/* Whether the leaf claims to be the certificate of an Auth Service; from an unknown authority this proves nothing. */
static bool claims_to_be_auth(X509_STORE_CTX *store)
{
        AUTO_PTR(arena) a = arena_new(CERT_READ_ARENA);
        struct cert_info info;
        unsigned char *der = NULL;
        int len = i2d_X509(X509_STORE_CTX_get0_cert(store), &der);
        struct error *err = cert_read(a, str_of_bytes(der, len > 0 ? (size_t)len : 0), &info);
        bool is_auth = err == NULL && !info.is_ca && !info.is_user && str_equal(info.role, STR("Auth"));

        error_free(err);
        OPENSSL_free(der);
        return is_auth;
}

static struct error *refuse_issuer(X509_STORE_CTX *store, bool is_server)
{
        AUTO_MEM char *issuer = issuer_text(X509_STORE_CTX_get_current_cert(store));

        return with_hint(error_for(error_new(ERROR_UNAUTHENTICATED,
                                             "the %s's certificate is signed by an unknown authority, '%s'", peer_of(is_server),
                                             issuer),
                                   !is_server && claims_to_be_auth(store) ? REASON_OTHER_CA : REASON_CONNECTION),
                         is_server ? "does the client belong to this cluster? its certificate may be from another one"
                                   : "if it is the right server, let this machine know its authority: ca_pin in the "
                                     "configuration, or SSL_CERT_FILE; teleport start --insecure is for trying things out only");
}

static struct error *refuse_name(X509_STORE_CTX *store, bool is_server, struct str expected)
{
        AUTO_MEM char *names = names_text(X509_STORE_CTX_get0_cert(store));
        AUTO_MEM char *wanted = escaped(expected);

        return error_hint(error_new(ERROR_UNAUTHENTICATED, "the %s's certificate is not for '%s', it is for: %s",
                                    peer_of(is_server), wanted, names),
                          "connect by one of these names, or have a certificate made that names '%s'", wanted);
}

struct error *tls_refusal(X509_STORE_CTX *store, bool is_server, struct str expected_name)
{
        int reason = X509_STORE_CTX_get_error(store);

        switch (reason) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
                return refuse_time(store, is_server, true);
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return refuse_time(store, is_server, false);
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_UNTRUSTED:
                return refuse_issuer(store, is_server);
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
                return refuse_name(store, is_server, expected_name);
        default:
                return error_new(ERROR_UNAUTHENTICATED, "the %s's certificate is refused: %s", peer_of(is_server),
                                 X509_verify_cert_error_string(reason));
        }
}

/* ---- alerts: certificates or parameters that the peer refuses (RFC 8446 section 6.2) ------------------- */

struct alert {
        int number;
        enum error_code code;
        enum error_reason reason;
        const char *what;        /* follows "the server" or "the client" */
        const char *client_hint; /* used when we are the client */
        const char *server_hint;
};

static const char join_again[] = "if this host belongs to another cluster now, remove its data directory and join again";
static const char our_ca[] = "the client does not trust the authority of our certificate: ca_pin or a public certificate "
                             "(https_keypairs) would help";

static const struct alert alerts[] = {
        { SSL_AD_UNEXPECTED_MESSAGE, ERROR_UNAVAILABLE, REASON_CONNECTION, "complains about an unexpected message", NULL, NULL },
        { SSL_AD_HANDSHAKE_FAILURE, ERROR_FAILED_PRECONDITION, REASON_CONNECTION, "finds no TLS parameters in common with us",
          "old TLS versions and ciphers are not spoken here; is the server's TLS up to date?",
          "old TLS versions and ciphers are not spoken here; is the client's TLS up to date?" },
        { SSL_AD_BAD_CERTIFICATE, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "refused our certificate as bad", join_again, our_ca },
        { SSL_AD_UNSUPPORTED_CERTIFICATE, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "refused our certificate as unsupported", NULL, NULL },
        { SSL_AD_CERTIFICATE_REVOKED, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "refused our certificate: it is revoked", join_again, NULL },
        { SSL_AD_CERTIFICATE_EXPIRED, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "refused our certificate: it has expired, or is not valid yet",
          "compare the clocks of both machines; otherwise remove the data directory and join again",
          "compare the clocks of both machines" },
        { SSL_AD_CERTIFICATE_UNKNOWN, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "refused our certificate", join_again, our_ca },
        { SSL_AD_UNKNOWN_CA, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "refused our certificate: it does not know the authority",
          join_again, our_ca },
        { SSL_AD_ACCESS_DENIED, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "denied access to our certificate", join_again, NULL },
        { SSL_AD_PROTOCOL_VERSION, ERROR_FAILED_PRECONDITION, REASON_CONNECTION, "speaks no TLS version that we accept",
          "is the server's TLS up to date?", "is the client's TLS up to date?" },
        { SSL_AD_INSUFFICIENT_SECURITY, ERROR_FAILED_PRECONDITION, REASON_CONNECTION, "finds our TLS parameters too weak", NULL, NULL },
        { SSL_AD_INTERNAL_ERROR, ERROR_UNAVAILABLE, REASON_CONNECTION, "reports an internal error of its TLS", NULL, NULL },
        { SSL_AD_USER_CANCELLED, ERROR_UNAVAILABLE, REASON_CONNECTION, "gave up the handshake", NULL, NULL },
        { SSL_AD_UNRECOGNIZED_NAME, ERROR_FAILED_PRECONDITION, REASON_CONNECTION, "does not know the name we asked for",
          "check the address; something in front of the server may route by name", NULL },
        { SSL_AD_CERTIFICATE_REQUIRED, ERROR_PERMISSION_DENIED, REASON_IDENTITY, "wants a certificate and we have sent none",
          "this port is for hosts and users that already belong to the cluster", NULL },
};

static struct error *error_of_alert(int number, bool is_server)
{
        for (size_t i = 0; i < ARRAY_LEN(alerts); i++)
                if (alerts[i].number == number)
                        return with_hint(error_for(error_new(alerts[i].code, "the %s %s", peer_of(is_server), alerts[i].what),
                                                   alerts[i].reason),
                                         is_server ? alerts[i].server_hint : alerts[i].client_hint);
        return error_new(ERROR_UNAVAILABLE, "the %s ended TLS with alert %d, '%s'", peer_of(is_server), number,
                         SSL_alert_desc_string_long(number));
}

/* ---- everything else ----------------------------------------------------------------------------------- */

struct error *tls_no_alpn(void)
{
        return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                    "the server does not speak the application protocol we need (ALPN)"),
                          "check that the port is the right one, and that an Auth Service (port 3025) is named in auth_server; or a load balancer "
                          "in front of it ends TLS and speaks no HTTP/1.1");
}

struct error *tls_not_tls(bool is_server, struct str bytes)
{
        struct str line = str_slice(bytes, 0, str_find_char(bytes, '\n'));
        AUTO_MEM char *shown = escaped(str_slice(str_trim(line), 0, 64));

        if (is_server)
                return error_hint(error_new(ERROR_UNAVAILABLE, "the client does not speak TLS, it sent '%s'", shown),
                                  "this port speaks TLS only; a browser needs https://");
        return error_hint(error_new(ERROR_UNAVAILABLE, "the server answered with something that is not TLS: '%s'", shown),
                          "check the port: another service seems to listen there");
}

struct error *tls_failure(bool is_server)
{
        unsigned long e = ERR_peek_error();
        int reason = ERR_GET_REASON(e);
        const char *text = ERR_reason_error_string(e);

        ERR_clear_error();
        if (ERR_GET_LIB(e) != ERR_LIB_SSL)
                return error_new(ERROR_UNAVAILABLE, "TLS with the %s failed: %s", peer_of(is_server),
                                 text == NULL ? "no reason is known" : text);
        if (reason == SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL && !is_server)
                return tls_no_alpn();
        if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255)
                return error_of_alert(reason - SSL_AD_REASON_OFFSET, is_server);
        switch (reason) {
        case SSL_R_NO_APPLICATION_PROTOCOL:
                return error_new(ERROR_FAILED_PRECONDITION,
                                 "the client offers none of the application protocols that are spoken here (ALPN)");
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
                return error_new(ERROR_UNAUTHENTICATED, "the %s sent no certificate", peer_of(is_server));
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_WRONG_SSL_VERSION:
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_VERSION_TOO_LOW:
                return error_new(ERROR_FAILED_PRECONDITION, "the %s speaks no TLS version that we accept",
                                 peer_of(is_server));
        case SSL_R_NO_SHARED_CIPHER:
        case SSL_R_NO_SUITABLE_KEY_SHARE:
        case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
                return error_new(ERROR_FAILED_PRECONDITION, "there are no TLS parameters in common with the %s: %s",
                                 peer_of(is_server), text == NULL ? "" : text);
        default:
                return error_new(ERROR_UNAVAILABLE, "the %s breaks the rules of TLS: %s", peer_of(is_server),
                                 text == NULL ? "no reason is known" : text);
        }
}
