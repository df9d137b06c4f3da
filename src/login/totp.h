/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-time codes: RFC 4226 (HOTP) and RFC 6238 (TOTP) with the parameters of authenticator apps: SHA-1, six digits,
 * thirty seconds.
 */
#ifndef LOGIN_TOTP_H
#define LOGIN_TOTP_H

#include "base/buf.h"
#include "base/clock.h"

enum { TOTP_KEY_SIZE = 20, TOTP_DIGITS = 6, TOTP_STEP_SECONDS = 30 };

/* The code of this counter, below 10^TOTP_DIGITS. */
uint32_t totp_code(struct str key, uint64_t counter);

/*
 * Whether the code is valid for the current time step or an adjacent one, after last_step: each code is valid once. On
 * true *ret_step is set and must be stored as the next last_step before anything is granted. The time of the check does
 * not depend on the code.
 */
bool totp_check(struct str key, struct str code, struct walltime now, int64_t last_step, int64_t *ret_step);

/* RFC 4648 section 6, upper case, without padding: the form in which users type a key into apps. */
void base32_encode(struct buf *out, struct str bytes);

/* "otpauth://totp/<issuer>:<user>?secret=…&issuer=…&algorithm=SHA1&digits=6&period=30": the content of the QR code. */
void totp_put_url(struct buf *out, struct str issuer, struct str user, struct str key);

#endif
