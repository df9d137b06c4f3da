/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/identity_file.h"

#include <malloc.h>
#include <unistd.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

enum { IDENTITY_FILE_MAX = 64 * KiB };

/* ---- writing --------------------------------------------------------------------------------------- */

static void put_base64(struct buf *out, struct str bytes)
{
        buf_put_char(out, '"');
        base64_encode(out, bytes);
        buf_put_char(out, '"');
}

static void put_base64_list(struct buf *out, const struct str *list, size_t count)
{
        buf_put_char(out, '[');
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_c(out, ", ");
                put_base64(out, list[i]);
        }
        buf_put_char(out, ']');
}

void identity_put_json(struct buf *out, const struct host_identity *id)
{
        buf_put_c(out, "{\"kind\": \"identity\", \"version\": \"v2\", \"spec\": {\n  \"tls_key\": ");
        json_put_string(out, secret_str(&id->tls_key_pem));
        buf_put_c(out, ",\n  \"ssh_key\": ");
        json_put_string(out, secret_str(&id->ssh_key_pem));
        buf_put_c(out, ",\n  \"tls_cert\": ");
        put_base64(out, id->certs.tls_cert);
        buf_put_c(out, ",\n  \"tls_ca_certs\": ");
        put_base64_list(out, id->certs.tls_ca_certs, id->certs.tls_ca_count);
        buf_put_c(out, ",\n  \"ssh_cert\": ");
        put_base64(out, id->certs.ssh_cert);
        buf_put_c(out, ",\n  \"ssh_ca_keys\": ");
        put_base64_list(out, id->certs.ssh_ca_keys, id->certs.ssh_ca_count);
        buf_put_c(out, ",\n  \"tls_user_ca_certs\": ");
        put_base64_list(out, id->certs.tls_user_ca_certs, id->certs.tls_user_ca_count);
        buf_put_c(out, ",\n  \"ssh_user_ca_keys\": ");
        put_base64_list(out, id->certs.ssh_user_ca_keys, id->certs.ssh_user_ca_count);
        for (size_t i = 0; i < id->certs.vouching_count; i++) {
                buf_put_c(out, i == 0 ? ",\n  \"vouching_pins\": [" : ", ");
                json_put_string(out, id->certs.vouching_pins[i]);
                if (i + 1 == id->certs.vouching_count)
                        buf_put_char(out, ']');
        }
        if (id->certs.ca_revision.len > 0) {
                buf_put_c(out, ",\n  \"ca_revision\": ");
                json_put_string(out, id->certs.ca_revision);
        }
        if (id->has_join_proof) {
                buf_put_c(out, ",\n  \"join_proof\": ");
                put_base64(out, str_of_bytes(id->join_proof, sizeof id->join_proof));
        }
        buf_put_c(out, "}}\n");
}

/* ---- reading --------------------------------------------------------------------------------------- */

/* The parser copies private keys, so its memory is wiped when it is freed. */
static void free_wiped(void *mem)
{
        if (mem != NULL)
                wipe(mem, malloc_usable_size(mem));
        free(mem);
}

static struct str text_of(const json_t *spec, const char *key)
{
        const json_t *v = json_object_get(spec, key);
        if (!json_is_string(v))
                return (struct str){ 0 };
        return str_of_bytes(json_string_value(v), json_string_length(v));
}

static struct error *read_base64(struct arena *a, struct str text, struct str *ret)
{
        AUTO(buf) bytes = BUF_MAX(IDENTITY_FILE_MAX);
        if (str_is_empty(text))
                return error_new(ERROR_INVALID_ARGUMENT, "a field is missing");
        TRY(base64_decode(&bytes, text));
        *ret = arena_str(a, buf_str(&bytes));
        return NULL;
}

static struct error *read_base64_list(struct arena *a, const json_t *list, struct str *ret, size_t *ret_count)
{
        size_t count = json_array_size(list);
        if (count == 0 || count > HOST_CAS_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a list of CAs is missing or too long");
        for (size_t i = 0; i < count; i++) {
                const json_t *v = json_array_get(list, i);
                struct str text = str_of_bytes(json_string_value(v), json_string_length(v));
                TRY(read_base64(a, json_is_string(v) ? text : (struct str){ 0 }, &ret[i]));
        }
        *ret_count = count;
        return NULL;
}

/* Reads a list that files of earlier releases lack, as do identities without an SSH certificate. */
static struct error *read_optional_list(struct arena *a, const json_t *list, struct str *ret, size_t *ret_count)
{
        return json_array_size(list) == 0 ? NULL : read_base64_list(a, list, ret, ret_count);
}

/* Other elements than texts, and those beyond the limit, are left out: fewer pins vouch for less. */
static void read_texts(struct arena *a, const json_t *list, struct str *ret, size_t *ret_count)
{
        for (size_t i = 0; i < json_array_size(list) && *ret_count < HOST_CAS_MAX; i++) {
                const json_t *v = json_array_get(list, i);

                if (json_is_string(v))
                        ret[(*ret_count)++] = arena_str(a, str_of_bytes(json_string_value(v), json_string_length(v)));
        }
}

static struct error *read_spec(const json_t *spec, struct host_expectation expected, struct host_identity *ret)
{
        AUTO_PTR(arena) a = arena_new(2 * IDENTITY_FILE_MAX);
        AUTO(host_keys) keys = { 0 };
        struct host_certificates certs = { 0 };

        TRY(key_from_pem(&keys.tls, text_of(spec, "tls_key")));
        TRY(key_from_pem(&keys.ssh, text_of(spec, "ssh_key")));
        TRY(read_base64(a, text_of(spec, "tls_cert"), &certs.tls_cert));
        if (!str_is_empty(text_of(spec, "ssh_cert"))) /* role Node only */
                TRY(read_base64(a, text_of(spec, "ssh_cert"), &certs.ssh_cert));
        TRY(read_base64_list(a, json_object_get(spec, "tls_ca_certs"), certs.tls_ca_certs, &certs.tls_ca_count));
        TRY(read_optional_list(a, json_object_get(spec, "ssh_ca_keys"), certs.ssh_ca_keys, &certs.ssh_ca_count));
        TRY(read_optional_list(a, json_object_get(spec, "tls_user_ca_certs"), certs.tls_user_ca_certs,
                               &certs.tls_user_ca_count));
        TRY(read_optional_list(a, json_object_get(spec, "ssh_user_ca_keys"), certs.ssh_user_ca_keys,
                               &certs.ssh_user_ca_count));
        certs.ca_revision = arena_str(a, text_of(spec, "ca_revision"));
        read_texts(a, json_object_get(spec, "vouching_pins"), certs.vouching_pins, &certs.vouching_count);
        struct str proof = { 0 };
        if (!str_is_empty(text_of(spec, "join_proof")))
                TRY(read_base64(a, text_of(spec, "join_proof"), &proof));
        if (!str_is_empty(proof) && proof.len != JOIN_PROOF_SIZE)
                return error_new(ERROR_INVALID_ARGUMENT, "join_proof is not a digest");
        TRY(host_identity_make(ret, &keys, &certs, expected));
        ret->has_join_proof = !str_is_empty(proof);
        if (ret->has_join_proof)
                memcpy(ret->join_proof, proof.ptr, JOIN_PROOF_SIZE);
        return NULL;
}

struct error *identity_read_json(struct str json, struct host_expectation expected, struct host_identity *ret)
{
        json_error_t where;
        json_set_alloc_funcs(malloc, free_wiped);
        json_t *root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &where);
        if (root == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "the identity is not JSON (line %d)", where.line);

        struct error *err;
        if (!str_equal(text_of(root, "kind"), STR("identity")) || !str_equal(text_of(root, "version"), STR("v2")))
                err = error_new(ERROR_INVALID_ARGUMENT, "the file does not hold an identity of version v2");
        else
                err = read_spec(json_object_get(root, "spec"), expected, ret);
        json_decref(root);
        return err;
}

/* ---- files ----------------------------------------------------------------------------------------- */

static char *identity_path(const char *dir, const char *role)
{
        char *path = mem_printf("%s/ids/%s.json", dir, role);
        for (char *c = path + strlen(dir); *c != '\0'; c++)
                *c = char_lower(*c);
        return path;
}

struct buf identity_buf(void)
{
        struct buf b = BUF_MAX(IDENTITY_FILE_MAX);
        (void)buf_extend(&b, IDENTITY_FILE_MAX - 1);
        buf_clear(&b);
        return b;
}

static struct error *load(const char *dir, const char *role, const struct ca_pins *pins, struct host_identity *ret,
                          struct error *(*read_file)(const char *path, struct buf *out))
{
        AUTO_MEM char *path = identity_path(dir, role);
        AUTO(buf) text = identity_buf();
        TRY(read_file(path, &text));
        struct error *err = identity_read_json(buf_str(&text),
                                               (struct host_expectation){ .role = str_of(role), .pins = *pins }, ret);
        wipe(text.ptr, text.room);
        if (err != NULL)
                return error_wrap(err, "%s", path);
        return NULL;
}

struct error *identity_load(const char *dir, const char *role, const struct ca_pins *pins, struct host_identity *ret)
{
        return load(dir, role, pins, ret, file_read_private);
}

struct error *identity_load_as_root(const char *dir, const char *role, const struct ca_pins *pins, struct host_identity *ret)
{
        return load(dir, role, pins, ret, geteuid() == 0 ? file_read : file_read_private);
}

struct error *identity_write(const char *dir, const char *role, struct str json)
{
        AUTO_MEM char *path = identity_path(dir, role);
        AUTO_MEM char *ids = mem_printf("%s/ids", dir);
        TRY(dir_make(ids, 0700));
        return file_write_atomic(path, json, 0600);
}
