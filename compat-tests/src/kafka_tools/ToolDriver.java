import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs many of Kafka's command line tools in one JVM. A request is one line: the class, what it prints before it is
 * interrupted (nothing: it ends by itself), its standard input and its arguments, tab-separated, all but the class in
 * hexadecimal. The answer is one line: exit code, standard output, standard error, the latter two in hexadecimal.
 */
public class ToolDriver {
    /** What a tool's call to exit becomes; an Error, so that few tools catch it. */
    static class Exited extends Error {
    }

    /** Scala's Console keeps the System.out it finds first, so that one stays and what is behind it changes. */
    static class Redirect extends OutputStream {
        volatile OutputStream target = OutputStream.nullOutputStream();

        @Override
        public void write(int b) throws java.io.IOException {
            target.write(b);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws java.io.IOException {
            target.write(bytes, from, length);
        }
    }

    static final long AWAITED_LIMIT_MS = 20_000;

    static volatile Integer exitCode;

    /** Some tools register theirs with the JVM itself. */
    @SuppressWarnings("unchecked")
    static List<Thread> hooksOfTheJvm() throws ReflectiveOperationException {
        Field field = Class.forName("java.lang.ApplicationShutdownHooks").getDeclaredField("hooks");
        field.setAccessible(true);
        Map<Thread, Thread> hooks = (Map<Thread, Thread>) field.get(null);
        List<Thread> found = new ArrayList<>(hooks.keySet());
        hooks.clear();
        return found;
    }

    public static void main(String[] ignored) throws Exception {
        PrintStream answers = System.out;
        Redirect out = new Redirect();
        Redirect err = new Redirect();
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        System.setOut(new PrintStream(out, true, "UTF-8"));
        System.setErr(new PrintStream(err, true, "UTF-8"));
        Exit.Procedure procedure = (code, message) -> {
            if (exitCode == null) {
                exitCode = code;
            }
            // Some tools catch even an Error, and would complain of this one.
            System.out.flush();
            System.err.flush();
            out.target = OutputStream.nullOutputStream();
            err.target = OutputStream.nullOutputStream();
            throw new Exited();
        };
        Exit.setExitProcedure(procedure);
        Exit.setHaltProcedure(procedure);
        // What a tool leaves for the end of its JVM (the console producer sends its last batch there) runs at its own end.
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));

        HexFormat hex = HexFormat.of();
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] fields = line.split("\t", -1);
            String[] arguments = new String[fields.length - 3];
            for (int i = 0; i < arguments.length; i++) {
                arguments[i] = new String(hex.parseHex(fields[i + 3]), "UTF-8");
            }
            ByteArrayOutputStream outBytes = new ByteArrayOutputStream();
            ByteArrayOutputStream errBytes = new ByteArrayOutputStream();
            out.target = outBytes;
            err.target = errBytes;
            System.setIn(new ByteArrayInputStream(hex.parseHex(fields[2])));
            exitCode = null;
            int code = 0;
            try {
                Class.forName(fields[0]).getMethod("main", String[].class).invoke(null, (Object) arguments);
            } catch (InvocationTargetException thrown) {
                if (!(thrown.getCause() instanceof Exited)) {
                    thrown.getCause().printStackTrace();
                    code = 1;
                }
            }
            String awaited = new String(hex.parseHex(fields[1]), "UTF-8");
            long deadline = System.currentTimeMillis() + AWAITED_LIMIT_MS;
            while (!outBytes.toString("UTF-8").contains(awaited) && System.currentTimeMillis() < deadline) {
                Thread.sleep(5);
            }
            out.target = outBytes;
            err.target = errBytes;
            for (Runnable hook : hooks) {
                hook.run();
            }
            hooks.clear();
            for (Thread hook : hooksOfTheJvm()) {
                hook.start();
                hook.join();
            }
            System.out.flush();
            System.err.flush();
            answers.println((exitCode == null ? code : exitCode) + " " + hex.formatHex(outBytes.toByteArray()) + " "
                + hex.formatHex(errBytes.toByteArray()));
            answers.flush();
        }
    }
}
