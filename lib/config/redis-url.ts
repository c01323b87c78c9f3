// The address of a Redis as it was given: checked, kept secret, and once more for people.
import { MqttasgiError } from '../core/errors.ts'
import { redactUrl } from './broker-url.ts'
import type { Choice } from './choice.ts'
import type { OptionPath } from './options.ts'
import { Secret } from './secret.ts'

/** Code: `ERR_CONFIG_VALUE`, or `ERR_USAGE` for a flag, and the message says nothing of the text itself. */
export function redisUrl(
  url: string,
  choice: Choice,
  path: OptionPath,
): { readonly url: Secret; readonly address: string } {
  const isRight = /^rediss?:\/\//.test(url) && URL.canParse(url) && new URL(url).hostname !== ''
  // An @ behind the host is a password with a / or ? in it.
  if (
    isRight &&
    !/#|@.*@|%(?![0-9a-f]{2})/i.test(url) &&
    !(new URL(url).pathname + new URL(url).search).includes('@')
  )
    return { url: new Secret(url), address: redactUrl(url) }
  throw new MqttasgiError(
    choice.valueCode(path),
    `${path} (${choice.source(path)}): expected a URL such as redis://:PASSWORD@localhost:6379/0 or rediss://…, got another text. : / ? # @ in user name and password are written with %, as %40 for @.`,
  )
}
