/* SPDX-License-Identifier: Apache-2.0 */
#include "login/totp.h"

#include <openssl/evp.h>

#include "base/bug.h"
#include "base/secret.h"

enum { SHA1_SIZE = 20, STEPS_BESIDE = 1, MODULUS = 1000000 };

/* ---- codes -------------------------------------------------------------------------------------------- */

/* RFC 4226 section 5.3. */
uint32_t totp_code(struct str key, uint64_t counter)
{
        uint8_t mac[SHA1_SIZE], text[8];
        size_t len = 0;

        for (size_t i = 0; i < sizeof text; i++)
                text[i] = (uint8_t)(counter >> (56 - 8 * i));
        if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key.ptr, key.len, text, sizeof text, mac, sizeof mac, &len) == NULL ||
            len != sizeof mac)
                bug("OpenSSL has no HMAC-SHA-1");
        size_t at = mac[SHA1_SIZE - 1] & 0x0f;
        uint32_t bits = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 | mac[at + 3];
        wipe(mac, sizeof mac);
        return bits % MODULUS;
}

bool totp_check(struct str key, struct str code, struct walltime now, int64_t last_step, int64_t *ret_step)
{
        const int64_t present = walltime_unix(now) / TOTP_STEP_SECONDS;
        int64_t hit = -1;

        for (int64_t step = present - STEPS_BESIDE; step <= present + STEPS_BESIDE; step++) {
                char expected[TOTP_DIGITS];
                uint32_t number = totp_code(key, (uint64_t)step);

                for (size_t i = TOTP_DIGITS; i-- > 0; number /= 10)
                        expected[i] = (char)('0' + number % 10);
                if (secret_equal(str_of_bytes(expected, sizeof expected), code) && step > last_step)
                        hit = step;
                wipe(expected, sizeof expected);
        }
        if (hit < 0)
                return false;
        *ret_step = hit;
        return true;
}

/* ---- keys as URLs for authenticator apps ------------------------------------------------------------- */

void base32_encode(struct buf *out, struct str bytes)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        uint32_t held = 0;
        unsigned bits = 0;

        for (size_t i = 0; i < bytes.len; i++) {
                held = held << 8 | str_bytes(bytes)[i];
                for (bits += 8; bits >= 5; bits -= 5)
                        buf_put_char(out, digits[held >> (bits - 5) & 0x1f]);
                held &= (1U << bits) - 1;
        }
        if (bits > 0)
                buf_put_char(out, digits[held << (5 - bits) & 0x1f]);
}

/* Percent-encodes all but the unreserved characters of RFC 3986. */
static void put_escaped(struct buf *out, struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                char c = s.ptr[i];

                if (char_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
                        buf_put_char(out, c);
                else
                        buf_printf(out, "%%%02X", (unsigned)(uint8_t)c);
        }
}

void totp_put_url(struct buf *out, struct str issuer, struct str user, struct str key)
{
        buf_put_c(out, "otpauth://totp/");
        put_escaped(out, issuer);
        buf_put_char(out, ':');
        put_escaped(out, user);
        buf_put_c(out, "?secret=");
        base32_encode(out, key);
        buf_put_c(out, "&issuer=");
        put_escaped(out, issuer);
        buf_printf(out, "&algorithm=SHA1&digits=%d&period=%d", TOTP_DIGITS, TOTP_STEP_SECONDS);
}
